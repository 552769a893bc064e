"use strict";
// How figures are said.

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A whole number with its thousands apart. */
function count(value) {
  return GROUPED.format(value);
}

/** A number that takes little room: 1,234 or 12.3 k or 4.56 M. */
function short(value) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (value >= size) {
      const part = value / (unit === "k" ? 1e3 : size);
      return `${part.toFixed(part < 10 ? 2 : part < 100 ? 1 : 0)} ${unit}`;
    }
  }
  return count(value);
}

/** How many a second. */
function pace(value) {
  if (value > 0 && value < 0.05) return "< 0.1";
  return value < 10 ? value.toFixed(value > 0 ? 1 : 0) : short(Math.round(value));
}

/** Bytes in units of 1,024. */
function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A stretch of time, given in milliseconds, in its two largest units. */
function span(ms) {
  const seconds = Math.floor(ms / 1000);
  if (ms < 1000) return ms > 0 ? "< 1 s" : "0 s";
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A latency, given in microseconds. */
function latency(us) {
  if (us === null) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

/** A part of a whole in percent; what is more than nothing never looks like nothing. */
function share(part, whole) {
  if (whole <= 0) return "–";
  const percent = (100 * part) / whole;
  if (percent === 0 || percent === 100) return `${percent} %`;
  if (percent < 0.01) return "< 0.01 %";
  if (percent > 99.9) return "> 99.9 %";
  return `${percent.toFixed(percent < 1 ? 2 : percent < 10 ? 1 : 0)} %`;
}

/** Money, given in 10^-12 US dollars. */
function usd(pico) {
  const dollars = pico / 1e12;
  if (dollars === 0) return "$0";
  if (dollars < 0.0001) return "< $0.0001";
  if (dollars < 1) return `$${dollars.toFixed(4)}`;
  const two = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return `$${dollars.toLocaleString("en-US", dollars < 1e5 ? two : { maximumFractionDigits: 0 })}`;
}

/** A number of things with their name in the right form. */
function plural(number, name) {
  return `${count(number)} ${name}${number === 1 ? "" : "s"}`;
}
