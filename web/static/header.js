// The bar at the top: connection, overall state, links to the sections, the notice about old data.

import * as format from "./format.js";
import { icon, setIcon } from "./icons.js";
import { attribute, h, text } from "./nodes.js";
import { overall } from "./routes.js";

const SIGNS = { ok: "done", quiet: "pause", bad: "warning" };
const ANNOUNCE_EVERY_MS = 5000;

/** `needle` of the filter box is in `filter.value`. */
export class Header {
  #link = document.getElementById("link");
  #overall = document.getElementById("overall");
  #sentence = h("span");
  #notice = document.getElementById("notice");
  #chips = ["active", "waiting", "held", "failed"].map(chip);
  #linkSign = icon("live");
  #overallSign = icon("done");
  #announcer = new Announcer(document.getElementById("announcer"));

  constructor({ reconnect, askToken }) {
    this.#link.prepend(this.#linkSign);
    this.#overall.append(this.#overallSign, this.#sentence);
    document.getElementById("summary").append(...this.#chips.map(({ node }) => node));
    this.#notice.querySelector("[data-do=reconnect]").addEventListener("click", reconnect);
    this.#notice.querySelector("[data-do=token]").addEventListener("click", askToken);
  }

  draw({ state, live, receivedAt, locked }, nowMs) {
    this.#drawLink(live, nowMs);
    this.#drawNotice(live, receivedAt, locked, nowMs);
    const routes = [...state.routes.values()];
    const { kind, text: sentence } = receivedAt ? overall(routes, nowMs) : { kind: "quiet", text: "" };
    this.#overall.dataset.kind = kind;
    this.#overall.hidden = !sentence;
    setIcon(this.#overallSign, SIGNS[kind]);
    text(this.#sentence, sentence);
    const counts = {
      active: state.count("active"),
      waiting: state.count("waiting"),
      held: state.countHeld(),
      failed: state.count("failed"),
    };
    this.#chips.forEach((chip) => chip.update(counts));
    if (receivedAt) this.#announcer.failed(counts.failed, nowMs);
    document.title = titleOf(kind, counts);
  }

  #drawLink(live, nowMs) {
    const words = { live: "Live", connecting: "Connecting", waiting: "Reconnecting" }[live.state];
    const left = Math.max(1, Math.ceil((live.retryAt - nowMs) / 1000));
    const [spoken, shown] = this.#link.querySelectorAll("span");
    this.#link.dataset.state = live.state;
    setIcon(this.#linkSign, live.state === "live" ? "live" : "lost");
    text(spoken, words);
    text(shown, live.state === "waiting" ? `${words} in ${left} s` : words);
  }

  #drawNotice(live, receivedAt, locked, nowMs) {
    const since = receivedAt && format.clock(receivedAt, nowMs, { seconds: true });
    const lost = since
      ? `No connection to the agent: this is the state at ${since}.`
      : "Connecting to the agent …";
    this.#notice.hidden = live.state === "live";
    this.#notice.querySelector("[data-do=token]").hidden = !locked;
    text(this.#notice.querySelector("p"), locked ? "The agent asks for its access token." : lost);
  }
}

function chip(group) {
  const about = {
    active: ["transfers-title", "under way", "copy"],
    waiting: ["waiting-title", "waiting", "queue"],
    held: ["waiting-title", "held", "hold"],
    failed: ["failed-title", "failed", "fail"],
  };
  const [target, word, sign] = about[group];
  const count = h("b");
  const node = h("a", { href: `#${target}`, class: "chip", "data-what": group }, icon(sign), count, ` ${word}`);
  return {
    node,
    update(counts) {
      text(count, format.number(counts[group]));
      attribute(node, "data-any", counts[group] ? "" : null);
      node.hidden = group === "held" && !counts.held;
    },
  };
}

function titleOf(kind, counts) {
  if (kind === "bad") return "⚠ Outage – Transfer agent";
  const parts = [
    ...(counts.failed ? [`${format.number(counts.failed)} failed`] : []),
    ...(counts.active ? [`${format.number(counts.active)} under way`] : []),
  ];
  return [parts.join(", "), "Transfer agent"].filter(Boolean).join(" – ");
}

/** Announces new failures to screen readers, at most once in ANNOUNCE_EVERY_MS. */
class Announcer {
  #failed = null;
  #spokenAt = 0;

  constructor(node) {
    this.node = node;
  }

  failed(count, nowMs) {
    this.#failed = Math.min(this.#failed ?? count, count);
    if (count === this.#failed || nowMs - this.#spokenAt < ANNOUNCE_EVERY_MS) return;
    text(this.node, `${format.plural(count, "file has", "files have")} failed`);
    this.#failed = count;
    this.#spokenAt = nowMs;
  }
}
