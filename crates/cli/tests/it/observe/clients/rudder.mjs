// RudderStack's SDK for Node: `node rudder.mjs FOLDER COUNT` identifies seven users and sends COUNT
// events of theirs to GATEWAY_URL, then prints what it sent as one line of JSON. FOLDER has the
// packages.

import { createRequire } from "node:module";

const [folder, count] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const RudderAnalytics = require("@rudderstack/rudder-sdk-node");

const USERS = 7;
const client = new RudderAnalytics(process.env.WRITE_KEY, {
  dataPlaneUrl: process.env.GATEWAY_URL,
  logLevel: "error",
});
const messages = [];
const sequences = new Array(USERS).fill(0);
for (let number = 0; number < USERS + Number(count); number += 1) {
  const who = number % USERS;
  const userId = `rudder-node-${who}`;
  const sequence = sequences[who]++;
  const messageId = `rudder-node-${process.pid}-${number}`;
  if (number < USERS) {
    client.identify({ userId, messageId, traits: { plan: "pro", sequence } });
    messages.push({ id: messageId, user: userId, type: "identify", event: null, sequence });
  } else {
    const properties = { sequence, length: number };
    client.track({ userId, messageId, event: "Message Sent", properties });
    messages.push({ id: messageId, user: userId, type: "track", event: "Message Sent", sequence });
  }
  // Requests that it starts by itself, at twenty messages, travel side by side and overtake.
  if (number % 10 === 9) await client.flush();
}
await client.flush();
console.log(JSON.stringify({ client: "rudder node", spans: [], scores: [], messages }));
