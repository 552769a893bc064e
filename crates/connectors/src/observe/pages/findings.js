// What a person should know, the worst first: what the gateway found in its status, and what only
// shows in comparison. The limits are those of the alerts for Prometheus.

const MINUTE = 60_000;
const LIMITS = { errors: 0.01, p95_us: 150_000, p99_us: 200_000, queue_hours: 1 };
const MARKS = { good: "✓", bad: "✗", warn: "!", note: "·" };

function findingsOf(status) {
  const all = [...status.findings];
  const add = (level, what, todo) => all.push({ level, what, todo });
  doorsFound(status, add);
  lossesFound(status, add);
  const fill = fillsIn(status.queue);
  // Fuller than this it is a finding of the gateway's own.
  const isRoomy = status.queue.bytes < 0.8 * status.queue.bytes_max;
  if (isRoomy && fill !== null && fill < LIMITS.queue_hours * 60 * MINUTE) {
    add("warn", `The queue is full in about ${span(fill)} if this goes on.`,
      "Help the destination that waits most, or raise `bytes` of the queue.");
  }
  const unpriced = Object.entries(status.costs).filter(([, model]) => model.unpriced > 0);
  if (unpriced.length > 0) {
    const names = unpriced.slice(0, 3).map(([name]) => name).join(", ");
    const more = unpriced.length > 3 ? ` and ${unpriced.length - 3} more` : "";
    add("note", `No price is known for ${names}${more}: their cost is not in the sums.`,
      "Add them to the file of your own prices.");
  }
  const order = ["bad", "warn", "note"];
  return all.sort((one, other) => order.indexOf(one.level) - order.indexOf(other.level));
}

function doorsFound(status, add) {
  const requests = doorSum(status, "requests");
  const errors = doorSum(status, "errors");
  if (errors > LIMITS.errors * requests) {
    add("bad", `${share(errors, requests)} of the requests failed in the last minute.`,
      "Clients retry for some seconds and then lose events: see the queue and the disk.");
  }
  const times = measured("doors", MINUTE);
  const [p95, p99] = [0.95, 0.99].map((part) => doorQuantile(status, times, part));
  if (p95 > LIMITS.p95_us || p99 > LIMITS.p99_us) {
    add("warn", `The doors are slow: p95 is ${latency(p95)}, p99 is ${latency(p99)}.`,
      "A slow disk or a busy processor is the usual cause; clients wait for both.");
  }
}

function lossesFound(status, add) {
  const shed = grown("shed", MINUTE);
  if (shed > 0) {
    add("bad", `${plural(shed, "event")} found no room in the last minute.`,
      "More comes than the queue takes: help the destination that waits most.");
  }
  if (grown("disk", MINUTE) > 0 || grown("failed", MINUTE) > 0) {
    add("bad", "The disk refused writes in the last minute.",
      "See whether the disk of the gateway's folder is full or broken; clients are told to retry.");
  }
  for (const one of status.destinations) {
    const lost = grown(`to ${one.name} shed`, 5 * MINUTE);
    if (lost > 0) {
      add("bad", `${plural(lost, "event")} for ${one.name} were given up in the last 5 minutes.`,
        "The queue is full and drops what waits: help the destination, or give the queue room.");
    }
  }
  const dead = grown("dead", 5 * MINUTE);
  if (dead > 0) {
    add("warn", `${plural(dead, "event")} went to the dead letters in the last 5 minutes.`,
      "The last error of the destination says why; `windlass observe replay` sends them again.");
  }
}

function doorSum(status, figure) {
  return sum(status.doors, (door) => grown(`door ${door.name} ${figure}`, MINUTE));
}

/** In how many milliseconds a queue is full at the pace of the last minute, or null. */
function fillsIn(queue) {
  const growth = rate("queue", MINUTE);
  const isSteady = samples.length > 1 && samples.at(-1).at - before(MINUTE).at > 30_000;
  if (!isSteady || growth <= 0 || queue.bytes_max === 0) return null;
  return (1000 * Math.max(queue.bytes_max - queue.bytes, 0)) / growth;
}

/** What a destination is doing, in words. */
function stateOf(one) {
  const delivered = rate(`to ${one.name} delivered`, 10_000);
  const why = one.waiting === "" ? "" : `: ${one.waiting}`;
  if (one.is_misconfigured) return ["bad", "misconfigured"];
  if (one.kind === "") return ["warn", "not configured"];
  if (one.is_off) return ["note", "switched off"];
  if (grown(`to ${one.name} throttled`, 10_000) > 0) return ["warn", `throttled${why}`];
  if (one.waiting !== "") return ["warn", `waiting${why}`];
  if (one.pending === 0) return ["good", delivered > 0 ? "delivering" : "idle"];
  if (delivered === 0 && one.lag_ms > 30_000) return ["warn", "not moving"];
  const shrinks = -rate(`to ${one.name} pending`, MINUTE);
  if (one.lag_ms > MINUTE && shrinks > 0) {
    return ["good", `catching up, ${span((1000 * one.pending) / shrinks)} left`];
  }
  if (one.lag_ms > MINUTE) return ["warn", "falling behind"];
  return ["good", "delivering"];
}
