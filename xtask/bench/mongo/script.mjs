// What people write for this job: accounts and submissions out of form responses, in sequential
// batches, with npm's bcrypt in two worker threads and one hash at a time in each.
import { MongoClient } from 'mongodb';
import bcrypt from 'bcrypt';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

const WORKERS = 2;
const BATCH = 100;
const cost = Number(process.env.HASH_COST ?? 12);

if (!isMainThread) {
  parentPort.on('message', async ({ id, passwords }) => {
    const hashes = [];
    for (const password of passwords) hashes.push(await bcrypt.hash(password, workerData.cost));
    parentPort.postMessage({ id, hashes });
  });
} else {
  await main();
}

function startWorkers() {
  const waiting = new Map();
  let next = 0;
  const workers = Array.from({ length: WORKERS }, () => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { cost } });
    worker.on('message', ({ id, hashes }) => { waiting.get(id)(hashes); waiting.delete(id); });
    return worker;
  });
  const hash = (worker, passwords) => new Promise((resolve) => {
    const id = next++;
    waiting.set(id, resolve);
    worker.postMessage({ id, passwords });
  });
  return {
    async all(passwords) {
      const half = Math.ceil(passwords.length / WORKERS);
      const parts = workers.map((worker, n) => (
      hash(worker, passwords.slice(n * half, (n + 1) * half))));
      return (await Promise.all(parts)).flat();
    },
    end: () => Promise.all(workers.map((worker) => worker.terminate())),
  };
}

async function main() {
  const client = new MongoClient(process.env.MONGODB_URI);
  await client.connect();
  const db = client.db();
  const people = new Map();
  for await (const doc of db.collection('responses').find({}).sort({ _id: 1 })) {
    const text = typeof doc.name === 'string' ? doc.name : '';
    const name = text.normalize('NFKC').trim().toLowerCase();
    if (name && !people.has(name)) people.set(name, doc);
  }
  const workers = startWorkers();
  const names = [...people.keys()];
  for (let at = 0; at < names.length; at += BATCH) {
    const some = names.slice(at, at + BATCH);
    const hashes = await workers.all(some.map(() => randomBytes(9).toString('base64')));
    await db.collection('users').insertMany(some.map((name, n) => ({
      username: `user_${at + n}`, email: `user_${at + n}@example.com`, password: hashes[n],
      role: 'user', migrationData: { legacyName: people.get(name).name, source: 'migration' },
    })), { ordered: false });
  }
  await workers.end();
  await client.close();
}
