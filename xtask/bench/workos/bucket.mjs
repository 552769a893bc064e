// A bulk-delete script as people write it: list all pages, keep what was created on the day, then
// delete through a token bucket and a queue of promises that are raced. It is a peer in the
// benchmark. With UNDICI set to the module's file, requests go through its Pool instead of fetch.
//
// Usage: node bucket.mjs URL KEY organizations|users DAY [RATE BURST]

import { pathToFileURL } from 'node:url';

const [url, key, kind, day, rate, burst] = process.argv.slice(2);
const concurrency = 40;
const retries = 5;
const list = kind === 'users' ? '/user_management/users' : '/organizations';
const headers = { authorization: `Bearer ${key}` };

class TokenBucket {
  constructor(capacity, perSecond) {
    this.capacity = capacity;
    this.tokens = capacity;
    this.perSecond = perSecond;
    this.last = performance.now();
  }

  refill() {
    const now = performance.now();
    const earned = ((now - this.last) / 1000) * this.perSecond;
    this.tokens = Math.min(this.capacity, this.tokens + earned);
    this.last = now;
  }

  async take() {
    this.refill();
    while (this.tokens < 1) {
      const wait = ((1 - this.tokens) / this.perSecond) * 1000;
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(wait)));
      this.refill();
    }
    this.tokens -= 1;
  }
}

async function withFetch() {
  return async (method, path) => {
    const response = await fetch(url + path, { method, headers });
    return { status: response.status, text: await response.text() };
  };
}

async function withPool(module) {
  const { Pool } = await import(pathToFileURL(module).href);
  const pool = new Pool(url, { connections: concurrency });
  return async (method, path) => {
    const { statusCode, body } = await pool.request({ method, path, headers });
    return { status: statusCode, text: await body.text() };
  };
}

const request = await (process.env.UNDICI ? withPool(process.env.UNDICI) : withFetch());
const bucket = rate ? new TokenBucket(Number(burst), Number(rate)) : null;

async function listAll() {
  const found = [];
  let after = null;
  do {
    const cursor = after ? `&after=${encodeURIComponent(after)}` : '';
    const { status, text } = await request('GET', `${list}?limit=100${cursor}`);
    if (status !== 200) throw new Error(`a page was answered ${status}`);
    const page = JSON.parse(text);
    const start = Date.parse(`${day}T00:00:00Z`);
    for (const item of page.data) {
      const created = new Date(item.created_at).getTime();
      if (created >= start && created < start + 86_400_000) found.push(item);
    }
    after = page.list_metadata.after;
  } while (after);
  return found;
}

async function remove(item) {
  for (let attempt = 0; ; attempt += 1) {
    if (bucket) await bucket.take();
    const { status } = await request('DELETE', `${list}/${item.id}`);
    if (status < 300 || status === 404) return true;
    if (attempt >= retries) return false;
    const wait = 1000 * 2 ** attempt;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

const items = await listAll();
const processing = new Set();
let failed = 0;
for (const item of items) {
  const task = remove(item)
    .then((gone) => (failed += gone ? 0 : 1))
    .finally(() => processing.delete(task));
  processing.add(task);
  if (processing.size >= concurrency) await Promise.race(processing);
}
await Promise.all(processing);
process.exit(failed > 0 ? 1 : 0);
