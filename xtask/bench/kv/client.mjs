// A script for Workers KV as people write it: follows the cursors and writes, or deletes, as it
// goes, so that its memory stays small. It is a peer in the benchmark.
//
// Usage: node client.mjs list|export|delete NAMESPACE > LINES
// with CLOUDFLARE_API_BASE_URL, CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN.

import { writeSync } from 'node:fs';

const [task, namespace] = process.argv.slice(2);
const { CLOUDFLARE_API_BASE_URL: api, CLOUDFLARE_ACCOUNT_ID: account } = process.env;
const base = `${api}/accounts/${account}/storage/kv/namespaces/${namespace}`;
const authorization = `Bearer ${process.env.CLOUDFLARE_API_TOKEN}`;

async function call(path, body) {
  const options = { headers: { authorization } };
  if (body) {
    options.method = 'POST';
    options.headers['content-type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const response = await fetch(base + path, options);
  const answer = await response.json();
  if (!answer.success) throw new Error(`${path}: ${response.status} ${answer.errors[0]?.message}`);
  return answer;
}

async function* pages() {
  let cursor = '';
  do {
    const query = new URLSearchParams({ limit: '1000' });
    if (cursor) query.set('cursor', cursor);
    const { result, result_info } = await call(`/keys?${query}`);
    yield result;
    cursor = result_info.cursor;
  } while (cursor);
}

function chunks(items, size) {
  const found = [];
  for (let at = 0; at < items.length; at += size) found.push(items.slice(at, at + size));
  return found;
}

function write(objects) {
  let text = '';
  for (const object of objects) text += `${JSON.stringify(object)}\n`;
  let bytes = Buffer.from(text);
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(1, bytes));
}

async function list() {
  for await (const keys of pages()) write(keys);
}

// The ten bulk reads of a page are on the wire at once.
async function exportAll() {
  for await (const keys of pages()) {
    const reads = chunks(keys, 100).map(async (some) => {
      const names = some.map((key) => key.name);
      const { result } = await call('/bulk/get', { keys: names, withMetadata: true });
      return names.map((key) => ({ key, ...result.values[key] }));
    });
    for (const objects of await Promise.all(reads)) write(objects);
  }
}

async function deleteAll() {
  let names = [];
  for await (const keys of pages()) {
    for (const key of keys) names.push(key.name);
    if (names.length < 10_000) continue;
    await call('/bulk/delete', names);
    names = [];
  }
  if (names.length > 0) await call('/bulk/delete', names);
}

await { list, export: exportAll, delete: deleteAll }[task]();
