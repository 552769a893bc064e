// The page itself: asks once a second while somebody looks, and writes text into the nodes that
// are there. Nothing that comes from outside is ever read as markup.

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
/** Models that are shown unless all are asked for. */
const MODELS = 10;
/** Alerts of policies that are shown. */
const ALERTS = 8;
let heard = null;
let asking = null;
let showsAll = false;
let said = "";

const at = (id) => document.getElementById(id);

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function dress(node, name) {
  if (node.className !== name) node.className = name;
}

/** One child for each item, kept over time so that a selection or a focus stays. */
function each(parent, items, keyOf, make, fill) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const taken = new Set();
  items.forEach((item, place) => {
    const name = keyOf(item);
    const key = taken.has(name) ? `${name} ${place}` : name;
    taken.add(key);
    const child = old.get(key) ?? make(item);
    old.delete(key);
    child.dataset.key = key;
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place]);
    fill(child, item);
  });
  for (const child of old.values()) child.remove();
}

/** A table's rows. A cell is its text, or its text, its class, and a smaller second line. */
function rows(id, items, cellsOf) {
  const body = at(id);
  const labels = [...body.parentElement.querySelectorAll("thead th")].map((th) => th.textContent);
  each(body, items.map(cellsOf), (cells) => [cells[0]].flat()[0], (cells) => {
    const row = document.createElement("tr");
    cells.forEach((_, place) => {
      const cell = row.appendChild(document.createElement(place === 0 ? "th" : "td"));
      if (place === 0) cell.scope = "row";
      else if (labels[place]) cell.dataset.label = labels[place];
      cell.append(document.createElement("b"), document.createElement("small"));
    });
    return row;
  }, (row, cells) => cells.forEach((cell, place) => {
    const [text, name = "", small = ""] = [cell].flat();
    const [strong, second] = ["b", "small"].map((tag) => row.children[place].querySelector(tag));
    write(strong, text);
    dress(row.children[place], name);
    write(second, small);
    second.hidden = small === "";
  }));
}

/** A count that is soft while it is nothing and loud once it is something. */
function unwanted(value) {
  return [short(value), value > 0 ? "bad" : "zero"];
}

function verdict(findings, status) {
  const level = findings.find((one) => one.level !== "note")?.level ?? "good";
  const [first, ...others] = level === "good" ? [null, ...findings] : findings;
  const sentence = first?.what ?? allIsWell(status);
  dress(at("verdict"), `verdict ${level}`);
  dress(at("mark"), level);
  write(at("mark"), MARKS[level]);
  write(at("sentence"), sentence);
  write(at("todo"), first?.todo ?? "");
  each(at("findings"), others, (one) => one.what, () => {
    const item = document.createElement("li");
    item.append(...["span", "span", "span"].map((name) => document.createElement(name)));
    return item;
  }, (item, one) => {
    const [mark, what, todo] = item.children;
    dress(mark, one.level);
    write(mark, MARKS[one.level]);
    write(what, one.what);
    dress(todo, "todo");
    write(todo, one.todo);
  });
  // Who listens to the page hears a change of the verdict, not every change of a figure.
  if (said !== level) write(at("said"), `${sentence} ${first?.todo ?? ""}`);
  said = level;
  document.title = `${MARKS[level]} Windlass observe`;
}

function allIsWell(status) {
  const oldest = Math.max(0, ...status.destinations.map((one) => (one.pending ? one.lag_ms : 0)));
  if (status.destinations.length === 0) return "All is well; nothing is sent on from here.";
  return `All is well: every destination is at most ${span(Math.max(oldest, 1000))} behind.`;
}

function spark(id, points, scale) {
  const [area, path] = at(id).children;
  let stroke = "";
  let fill = "";
  let first = null;
  let x = 0;
  for (const point of [...points, null]) {
    if (point === null) {
      if (first !== null) fill += `V60H${first}Z`;
      first = null;
      continue;
    }
    x = (300 * (1 - point.ago / KEPT_MS)).toFixed(1);
    const y = (58 - 55 * Math.min(1, point.value / scale)).toFixed(1);
    stroke += `${first === null ? "M" : "L"}${x} ${y}`;
    fill += first === null ? `M${x} 60V${y}` : `L${x} ${y}`;
    first ??= x;
  }
  area.setAttribute("d", fill);
  path.setAttribute("d", stroke);
}

function throughput() {
  const now = rate("received", 5000);
  const points = line((old, place) => {
    const seconds = (samples[place].at - samples[old].at) / 1000;
    return (samples[place].values.get("received") - samples[old].values.get("received")) / seconds;
  });
  const peak = Math.max(0, ...points.map((point) => point?.value ?? 0));
  write(at("rate"), samples.length > 1 ? pace(now) : "–");
  write(at("rate-peak"), samples.length > 1 ? `peak ${pace(peak)}` : "");
  const seen = samples.at(-1).at - samples[0].at;
  write(at("rate-from"), "5 min ago");
  spark("spark-rate", points, Math.max(peak, 1));
  at("spark-rate").setAttribute("aria-label",
    `events a second over the last ${span(seen)}: now ${pace(now)}, at most ${pace(peak)}`);
}

function doorLatency(status) {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((part) =>
    doorQuantile(status, measured("doors", MINUTE), part));
  write(at("p95"), latency(p95));
  dress(at("p95"), p95 > LIMITS.p95_us ? "warn" : "");
  const p95At = (place) => doorQuantile(status, measured("doors", 5000, place), 0.95) ?? 0;
  const points = line((_, place) => p95At(place));
  const peak = Math.max(0, ...points.map((point) => point?.value ?? 0));
  spark("spark-p95", points, Math.max(peak, 1000));
  write(at("p-others"), `p50 ${latency(p50)} · p99 ${latency(p99)} in the last minute · ` +
    `peak of p95 ${latency(peak)} · limit ${latency(LIMITS.p95_us)}`);
}

function tiles(status) {
  throughput();
  doorLatency(status);
  const [requests, errors] = ["requests", "errors"].map((each) => doorSum(status, each));
  write(at("errors"), requests > 0 ? share(errors, requests) : "–");
  dress(at("errors"), errors > LIMITS.errors * requests ? "bad" : "");
  write(at("errors-of"), `${short(errors)} of ${plural(requests, "request")} in the last minute`);
  const { bytes: size, bytes_max: most } = status.queue;
  write(at("queue"), share(size, most));
  dress(at("queue"), size > 0.8 * most ? "warn" : "");
  at("queue-meter").value = most > 0 ? size / most : 0;
  const fill = fillsIn(status.queue);
  const when = fill !== null && fill < 48 * 60 * MINUTE ? ` · full in ${span(fill)}` : "";
  write(at("queue-of"), `${bytes(size)} of ${bytes(most)}${when}`);
  const waiting = status.destinations.filter((one) => one.pending > 0);
  write(at("pending"), short(sum(waiting, (one) => one.pending)));
  const oldest = Math.max(0, ...waiting.map((one) => one.lag_ms));
  write(at("oldest"), waiting.length > 0 ? `the oldest for ${span(oldest)}` : "nothing waits");
  const cost = sum(Object.values(status.costs), (model) => model.cost_pico);
  write(at("cost"), usd(cost));
  const pace5 = rate("cost", KEPT_MS) * 3600;
  write(at("cost-pace"), `${usd(pace5)} an hour now · since ${sinceOf(status)}`);
}

function sinceOf(status) {
  const start = new Date(status.started_ms);
  const time = start.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const isToday = status.now_ms - status.started_ms < 20 * 60 * MINUTE;
  return isToday ? time : `${start.toLocaleDateString()} ${time}`;
}

function destinations(status) {
  at("no-destinations").hidden = status.destinations.length > 0;
  rows("destinations", status.destinations, (one) => {
    const [level, words] = stateOf(one);
    const times = measured(`to ${one.name}`, MINUTE);
    const isLate = one.pending > 0 && one.lag_ms > 5 * MINUTE;
    return [
      [one.name, "", one.kind],
      [`${MARKS[level]} ${words}`, level, one.last_error ? `last error: ${one.last_error}` : ""],
      [short(one.pending), one.pending ? "" : "zero", one.pending ? bytes(one.pending_bytes) : ""],
      [one.pending > 0 ? span(one.lag_ms) : "–", isLate ? "warn" : one.pending ? "" : "zero"],
      `${pace(rate(`to ${one.name} delivered`, 10_000))}/s`,
      short(one.delivered),
      unwanted(one.rejected),
      unwanted(one.shed),
      short(one.batch_size),
      `${one.in_flight} of ${one.concurrency}`,
      latency(quantile(status.latency_bounds_us, times, 0.95, one.latency.max_us)),
    ];
  });
}

function doors(status) {
  rows("doors", status.doors, (door) => {
    const figure = (name) => grown(`door ${door.name} ${name}`, MINUTE);
    const times = measured(`door ${door.name}`, MINUTE);
    const within = (part) =>
      latency(quantile(status.latency_bounds_us, times, part, door.latency.max_us));
    const [requests, errors, refused] = ["requests", "errors", "refused"].map(figure);
    return [
      door.name,
      pace(rate(`door ${door.name} requests`, 10_000)),
      pace(rate(`door ${door.name} events`, 10_000)),
      within(0.5), within(0.95), within(0.99),
      [share(errors, requests), errors > LIMITS.errors * requests ? "bad" : ""],
      share(refused, requests),
      `${bytes(rate(`door ${door.name} bytes`, 10_000))}/s`,
      unwanted(door.rejected),
      latency(door.latency.count > 0 ? door.latency.max_us : null),
    ];
  });
}

/** What becomes of events: the name in the status, in words, and its colour. */
const ACCOUNT = [
  ["stored", "stored on disk", 0], ["duplicates", "copies of stored ones", 1],
  ["sampled_out", "left out by sampling", 2], ["dropped", "dropped by a policy", 5],
  ["refused", "refused by a policy", 3], ["unrouted", "wanted by no destination", 2],
  ["rejected", "unreadable, in the dead letters", 3],
  ["shed", "not taken in for want of room", 4], ["failed", "not taken in: the disk failed", 4],
];

function account(status) {
  const events = status.events;
  const parts = ACCOUNT.map(([name, words, colour]) => ({ name, words, colour, n: events[name] }));
  const known = sum(parts, (part) => part.n);
  const open = Math.max(0, events.received - known);
  parts.push({ name: "open", words: "in progress", colour: 1, n: open });
  const shown = parts.filter((part) => part.n > 0);
  each(at("account-bar"), shown, (part) => part.name, () => document.createElement("i"),
    (bar, part) => {
      dress(bar, `s${part.colour}`);
      bar.style.flexGrow = part.n / Math.max(events.received, 1);
    });
  rows("account", parts, (part) => {
    const isLoss = part.colour === 4 && part.n > 0;
    const tone = isLoss ? "bad" : part.n > 0 ? "" : "zero";
    return [part.words, [count(part.n), tone], [share(part.n, events.received), tone]];
  });
  parts.forEach((part, place) => swatch(at("account").children[place].firstChild, part.colour));
  const terms = shown.map((part) => count(part.n)).join(" + ");
  write(at("account-sum"), `${count(events.received)} received = ${terms || "0"}`);
  write(at("account-queue"), behind(status));
}

function swatch(cell, colour) {
  if (cell.querySelector("i")) return;
  const square = document.createElement("i");
  square.className = `swatch s${colour}`;
  cell.prepend(square);
}

/** Whether the account of each destination adds up, which is its promise. */
function behind(status) {
  const wrong = status.destinations.filter((one) =>
    one.routed !== one.delivered + one.rejected + one.shed + one.pending);
  if (status.destinations.length === 0) return "";
  if (wrong.length > 0) {
    const names = wrong.map((one) => one.name).join(", ");
    return `! The accounts of these destinations do not add up: ${names}.`;
  }
  return "✓ For every destination: all that was for it = delivered + rejected + shed + waiting.";
}

function models(status) {
  const all = Object.entries(status.costs).sort(([, one], [, other]) =>
    other.cost_pico - one.cost_pico || other.events - one.events);
  // What has no price is shown, however little it seems to cost.
  const isShown = ([, model], place) => showsAll || place < MODELS || model.unpriced > 0;
  rows("models", all.filter(isShown), ([name, model]) => {
    const unpriced = model.unpriced > 0 ? `! ${short(model.unpriced)} without a price` : "";
    const isFree = model.unpriced === model.events;
    return [
      name, [isFree ? "unknown" : usd(model.cost_pico), isFree ? "warn" : ""],
      [short(model.events), "", unpriced], short(model.input_tokens), short(model.output_tokens),
    ];
  });
  const rest = all.slice(MODELS).filter(([, model]) => model.unpriced === 0);
  at("models-all").hidden = rest.length === 0;
  write(at("models-all"), showsAll ? "Show fewer models" : `Show all ${all.length} models`);
  const cost = usd(sum(rest, ([, model]) => model.cost_pico));
  const more = `and ${plural(rest.length, "more model")} with ${cost}`;
  write(at("models-note"), all.length === 0 ? "No generation came yet." :
    rest.length > 0 && !showsAll ? more : "");
}

function policies(status) {
  const list = status.policies;
  rows("policies", list, (one) => [
    one.name, ...["matched", "flagged", "masked", "dropped", "refused", "alerted"].map((figure) =>
      [short(one[figure]), one[figure] > 0 ? "" : "zero"]),
  ]);
  write(at("policies-note"), list.length === 0 ? "There is no policy." : "");
  at("alerts-part").hidden = status.alerts.length === 0;
  const newest = status.alerts.slice(0, ALERTS).map((text, place) => [place, text]);
  each(at("alerts"), newest, ([place]) => String(place), () => document.createElement("li"),
    (item, [, text]) => write(item, text));
}

function rest(status) {
  const held = status.held;
  const memory = share(status.memory_bytes, status.machine_memory_bytes);
  const masks = Object.entries(status.masks).map(([name, hits]) =>
    [`mask ${name}`, `hid ${plural(hits, "text")}`]);
  rows("rest", [
    ["sampling", status.tracing ? `keeps ${share(status.sampling_rate, 1)} of traces` :
      "tracing is switched off"],
    ["waiting for the end of a trace", plural(held.spans, "span")],
    ["traces decided at their end",
      `${short(held.traces_kept)} kept, ${short(held.traces_out)} left out`],
    ["waiting to be joined", plural(held.parts, "part")],
    ...masks,
    ["dead letters", count(status.dead_letters)],
    ["memory", `${bytes(status.memory_bytes)}, ${memory} of the machine`],
    ["processor", `${rate("cpu", 10_000).toFixed(2)} cores`],
  ], (row) => row);
  write(at("prices"), `${plural(status.prices.models, "model")} priced, ` +
    `map ${status.prices.hash.slice(0, 12)}`);
}

function show(status) {
  remember(status);
  verdict(findingsOf(status), status);
  at("verdict").hidden = false;
  at("board").hidden = false;
  dress(at("board"), "");
  for (const part of [tiles, destinations, doors, account, models, policies, rest]) part(status);
  write(at("life"), `${status.version} · up ${span(status.now_ms - status.started_ms)} · live`);
}

function lost(error) {
  dress(at("verdict"), "verdict bad");
  at("verdict").hidden = false;
  dress(at("mark"), "bad");
  write(at("mark"), MARKS.bad);
  dress(at("board"), "old");
  at("findings").replaceChildren();
  const sentence = "The gateway does not answer.";
  write(at("sentence"), sentence);
  write(at("todo"), "See whether its process lives; what it had acknowledged is on its disk.");
  if (said !== "lost") write(at("said"), sentence);
  said = "lost";
  document.title = `${MARKS.bad} Windlass observe`;
  const since = heard === null ? "" : `, the figures are ${span(Date.now() - heard)} old`;
  write(at("life"), `no answer (${error.message})${since}`);
}

async function ask() {
  clearTimeout(asking);
  asking = null;
  if (document.hidden) return;
  try {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch("v1/status", { cache: "no-store", signal: patience });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    heard = Date.now();
  } catch (error) {
    lost(error);
  }
  if (!document.hidden) {
    clearTimeout(asking);
    asking = setTimeout(ask, EVERY_MS);
  }
}

at("models-all").addEventListener("click", (click) => {
  showsAll = !showsAll;
  click.currentTarget.setAttribute("aria-expanded", String(showsAll));
  ask();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
  else write(at("life"), "paused while nobody looks");
});
ask();
