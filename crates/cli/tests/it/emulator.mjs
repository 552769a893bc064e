// The official WorkOS emulator, on this machine only, with a clock that can be set while objects
// are made. Commands come as JSON lines on stdin, each is answered by one line on stdout:
//
//   {"make": [{"at", "kind", "name"}]}   creates objects at these instants, in ascending order
//   {"call": {"method", "path"}}         makes one request
//   {"asked": true}                      the paths of all DELETE requests that others have made
//   {"sabotage": true}                   the next page of a list loses the object of its cursor
//
// These requests have keys that the program under test does not use, since the emulator counts
// its limit of 999 requests in 60 s for each key.

import http from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const RealDate = Date;
let pinned = null;
globalThis.Date = class extends RealDate {
  constructor(...words) {
    if (words.length === 0) super(Date.now());
    else super(...words);
  }
  static now() {
    return pinned ?? RealDate.now();
  }
};

// The package listens on all interfaces and does not wait until it does.
const listen = http.Server.prototype.listen;
const listening = new Promise((resolve) => {
  http.Server.prototype.listen = function () {
    return listen.call(this, 0, '127.0.0.1', () => resolve(this.address().port));
  };
});

let sabotage = false;
let doing = false;
const asked = [];
const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (name, request, reply) {
  if (name !== 'request') return emit.call(this, name, request, reply);
  const url = new URL(request.url, 'http://127.0.0.1');
  if (request.method === 'DELETE' && !doing) asked.push(url.pathname);
  const cursor = url.searchParams.get('after');
  if (!sabotage || doing || !cursor) return emit.call(this, name, request, reply);
  sabotage = false;
  call('DELETE', `${url.pathname}/${cursor}`).then(() => emit.call(this, name, request, reply));
  return true;
};

const folder = pathToFileURL(`${process.argv[2]}/node_modules/workos/dist/emulate/index.js`);
const { createEmulator } = await import(folder.href);
const test = { environment: 'test' };
const keys = { sk_test_emulated: test, sk_test_maker: test, sk_test_maker_2: test };
await createEmulator({ port: 0, seed: { apiKeys: keys } });
const port = await listening;

async function call(method, path, body, key = 'sk_test_maker') {
  doing = true;
  try {
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return text ? JSON.parse(text) : null;
  } finally {
    doing = false;
  }
}

const makers = ['sk_test_maker', 'sk_test_maker_2'];
async function make(objects) {
  const ids = [];
  for (const { at, kind, name } of objects) {
    pinned = RealDate.parse(at);
    const key = makers[Math.floor(ids.length / 900)];
    const object =
      kind === 'organization'
        ? await call('POST', '/organizations', { name }, key)
        : await call('POST', '/user_management/users', { email: `${name}@example.com` }, key);
    if (object.created_at !== at) throw new Error(`made at ${object.created_at}, not at ${at}`);
    ids.push(object.id);
  }
  pinned = null;
  return ids;
}

async function obey(command) {
  if (command.make) return make(command.make);
  if (command.call) return call(command.call.method, command.call.path);
  if (command.asked) return asked;
  sabotage = true;
  return true;
}

console.log(JSON.stringify(port));
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(JSON.parse(line)).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify(answer));
}
process.exit(0);
