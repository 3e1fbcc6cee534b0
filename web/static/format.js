// Formats figures, times and names. Pure: no document, no clock.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const NONE = "–";

/** Bytes in decimal units, three figures: 1.21 GB. */
export function bytes(count) {
  if (count === null || count === undefined) return NONE;
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
  return `${count.toFixed(digits)} ${UNITS[unit]}`;
}

export function rate(bytesPerSecond) {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Seconds as the two largest units: 12 s, 4 min 05 s, 2 h 05 min, 3 d 4 h. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Time until an RFC 3339 moment; for a past one "any moment". */
export function countdown(until, nowMs) {
  if (!until) return "";
  const left = (Date.parse(until) - nowMs) / 1000;
  return left > 0 ? duration(left) : "any moment";
}

/** An RFC 3339 moment on the viewer's clock: the time alone if it is today, else with the day. */
export function clock(moment, nowMs, { seconds = false } = {}) {
  if (!moment) return NONE;
  const at = new Date(moment);
  const time = at.toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: seconds ? "2-digit" : undefined,
    hourCycle: "h23",
  });
  if (at.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

export function number(count) {
  return count.toLocaleString("en");
}

export function plural(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/**
 * A file name with invisible characters made visible, so that no name can look like another: control
 * characters as their symbols (newline: U+2424), characters that reorder text (Unicode UAX 9) by number.
 */
export function visible(name) {
  return name
    .replaceAll("\n", "\u2424")
    .replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replaceAll("\u007f", "\u2421")
    .replace(/[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, (c) => `[U+${hex(c)}]`);
}

/** A relative path as [folder with its final slash, name], both visible. */
export function splitPath(path) {
  const cut = path.lastIndexOf("/") + 1;
  return [visible(path.slice(0, cut)), visible(path.slice(cut))];
}

/** "xxh128:0123…" as algorithm and the first figures. */
export function shortHash(hash) {
  const [algorithm, figures = ""] = hash.split(":");
  return figures.length > 8 ? `${algorithm}:${figures.slice(0, 8)}…` : hash;
}

function two(value) {
  return String(value).padStart(2, "0");
}

function hex(character) {
  return character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
}
