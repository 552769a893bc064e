// What was seen in the last five minutes. Counters only mean something in comparison, so that
// every figure of "now" is the difference of two statuses.

const KEPT_MS = 300_000;
const samples = [];

/** Keeps of a status what later ones are compared with. Begins anew after a restart. */
function remember(status) {
  const last = samples.at(-1);
  if (last && (last.started !== status.started_ms || last.at > status.now_ms)) samples.length = 0;
  if (last && samples.length > 0 && last.at === status.now_ms) return;
  samples.push(sampleOf(status));
  while (samples[0].at < status.now_ms - KEPT_MS - 5000) samples.shift();
}

function sampleOf(status) {
  const values = new Map();
  const times = new Map();
  for (const name of ["received", "shed", "failed"]) values.set(name, status.events[name]);
  values.set("disk", status.queue.disk_failures + status.hold.disk_failures);
  values.set("queue", status.queue.bytes);
  values.set("dead", status.dead_letters);
  values.set("unpriced", status.prices.unknown);
  values.set("cost", sum(Object.values(status.costs), (model) => model.cost_pico));
  values.set("cpu", status.cpu_seconds);
  for (const door of status.doors) {
    const answers = Object.entries(door.requests);
    const from = (least) => sum(answers.filter(([code]) => code >= least), ([, number]) => number);
    values.set(`door ${door.name} requests`, from(0));
    values.set(`door ${door.name} errors`, from(500));
    values.set(`door ${door.name} refused`, from(400) - from(500));
    for (const figure of ["bytes", "events", "rejected"]) {
      values.set(`door ${door.name} ${figure}`, door[figure]);
    }
    times.set(`door ${door.name}`, [...door.latency.at_most, door.latency.count]);
  }
  for (const one of status.destinations) {
    for (const figure of ["delivered", "rejected", "shed", "throttled", "pending", "retries"]) {
      values.set(`to ${one.name} ${figure}`, one[figure]);
    }
    times.set(`to ${one.name}`, [...one.latency.at_most, one.latency.count]);
  }
  const doors = [...times].filter(([key]) => key.startsWith("door ")).map(([, each]) => each);
  times.set("doors", doors.reduce(added, []));
  return { at: status.now_ms, started: status.started_ms, values, times };
}

function sum(list, of) {
  return list.reduce((all, each) => all + of(each), 0);
}

function added(one, other) {
  return other.map((number, place) => number + (one[place] ?? 0));
}

/** The sample that the newest one is compared with: the last that is at least this old, if any. */
function before(ms, end = samples.length - 1) {
  for (let place = end - 1; place >= 0; place -= 1) {
    if (samples[place].at <= samples[end].at - ms) return samples[place];
  }
  return samples[0];
}

/** How much a figure grew in this time. */
function grown(key, ms) {
  const [old, now] = [before(ms), samples.at(-1)];
  return (now.values.get(key) ?? 0) - (old.values.get(key) ?? now.values.get(key) ?? 0);
}

/** How much a figure grows a second. */
function rate(key, ms) {
  const seconds = (samples.at(-1).at - before(ms).at) / 1000;
  return seconds > 0 ? grown(key, ms) / seconds : 0;
}

/** The times that were measured in this stretch, as counts up to each bound and of all. */
function measured(key, ms, end = samples.length - 1) {
  const now = samples[end].times.get(key) ?? [];
  const old = before(ms, end).times.get(key) ?? [];
  return now.map((number, place) => number - (old[place] ?? 0));
}

/** The time that this share of those measured kept within, in microseconds, or null of none. It
 * is taken to lie evenly between the bounds of its bucket, and is never more than the longest. */
function quantile(bounds, counts, wanted, longest = Infinity) {
  const all = counts.at(-1) ?? 0;
  if (all <= 0) return null;
  const rank = wanted * all;
  const place = bounds.findIndex((_, place) => counts[place] >= rank);
  if (place < 0) return Math.max(bounds.at(-1), longest === Infinity ? 0 : longest);
  const [low, below] = place === 0 ? [0, 0] : [bounds[place - 1], counts[place - 1]];
  const inside = counts[place] - below;
  const within = low + (bounds[place] - low) * (inside > 0 ? (rank - below) / inside : 1);
  return Math.min(within, longest);
}

/** The same for all doors together, after these counts. */
function doorQuantile(status, counts, wanted) {
  const longest = Math.max(0, ...status.doors.map((door) => door.latency.max_us));
  return quantile(status.latency_bounds_us, counts, wanted, longest);
}

/** Points of a line over the last five minutes: how long ago in milliseconds, and the value. A gap
 * is a null. `of` is told the places of the two samples to compare. */
function line(of) {
  const points = [];
  const end = samples.at(-1)?.at ?? 0;
  for (let place = 1; place < samples.length; place += 1) {
    const [old, now] = [samples[place - 1], samples[place]];
    if (end - now.at > KEPT_MS) continue;
    if (now.at - old.at > 10_000) points.push(null);
    points.push({ ago: end - now.at, value: of(place - 1, place) });
  }
  return points;
}
