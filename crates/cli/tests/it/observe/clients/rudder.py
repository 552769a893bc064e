"""RudderStack's SDK for Python: `rudder.py COUNT` identifies seven users and sends COUNT events of
theirs to GATEWAY_URL, then prints what it sent as one line of JSON."""

import json
import os
import sys

import rudderstack.analytics as rudder

USERS = 7


def main():
    errors = []
    rudder.write_key = os.environ["WRITE_KEY"]
    rudder.dataPlaneUrl = os.environ["GATEWAY_URL"]
    rudder.on_error = lambda error, items: errors.append(repr(error))
    messages, sequences = [], [0] * USERS
    for number in range(USERS + int(sys.argv[1])):
        who = number % USERS
        user, sequence = f"rudder-python-{who}", sequences[who]
        sequences[who] += 1
        # Its own ids are random and not told; an application may choose them.
        message = f"rudder-python-{os.getpid()}-{number}"
        if number < USERS:
            rudder.identify(user, {"plan": "pro", "sequence": sequence}, message_id=message)
            kind, event = "identify", None
        else:
            properties = {"sequence": sequence, "length": number}
            rudder.track(user, "Message Sent", properties, message_id=message)
            kind, event = "track", "Message Sent"
        messages.append({"id": message, "user": user, "type": kind, "event": event,
                         "sequence": sequence})
    rudder.flush()
    rudder.shutdown()
    if errors:
        sys.exit(f"the client gave up: {errors[0]}")
    print(json.dumps({"client": "rudder python", "spans": [], "scores": [], "messages": messages}))


main()
