// A long list; only the rows in view exist as elements.

import { Rows, attribute } from "./nodes.js";

const SPARE_LINES = 5;

/**
 * Lines of one height (`--line-height` of the scroller, in px) inside `.sizer` inside `scroller`.
 * A row is `{node, update(item, position, nowMs)}`; items need an `id`.
 */
export class VirtualList {
  #items = [];
  #total = 0;
  #rows;
  #lineHeight = 0;

  constructor(scroller, create, redraw) {
    this.scroller = scroller;
    this.sizer = scroller.querySelector(".sizer");
    this.#rows = new Rows(this.sizer, create);
    scroller.addEventListener("scroll", redraw, { passive: true });
    new ResizeObserver(() => {
      this.#lineHeight = 0;
      redraw();
    }).observe(scroller);
  }

  /** Shows these items, the first of `total`. */
  show(items, total, nowMs) {
    this.#items = items;
    this.#total = total;
    this.#lineHeight ||= parseFloat(getComputedStyle(this.scroller).getPropertyValue("--line-height"));
    this.sizer.style.height = `${items.length * this.#lineHeight}px`;
    this.#rows.show(this.#inView().map((index) => this.#entry(index, nowMs)));
  }

  /** True if the last loaded row is in view, or nearly. */
  get atEnd() {
    const { scrollTop, clientHeight } = this.scroller;
    return scrollTop + clientHeight >= (this.#items.length - SPARE_LINES) * this.#lineHeight;
  }

  /** Indices of the rows to draw; the row with the focus is kept, since removing it would move the focus. */
  #inView() {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor(scrollTop / this.#lineHeight) - SPARE_LINES);
    const last = Math.ceil((scrollTop + clientHeight) / this.#lineHeight) + SPARE_LINES;
    const end = Math.min(this.#items.length, last);
    const indices = Array.from({ length: Math.max(0, end - first) }, (_, offset) => first + offset);
    const focused = this.#rows.focusedKey();
    const at = focused === undefined ? -1 : this.#items.findIndex((item) => item.id === focused);
    if (at >= 0 && at < first) indices.unshift(at);
    if (at >= end) indices.push(at);
    return indices;
  }

  #entry(index, nowMs) {
    const item = this.#items[index];
    const position = { top: `translateY(${index * this.#lineHeight}px)`, index, total: this.#total };
    return [item.id, item, position, nowMs];
  }
}

/** Positions a list item, and sets its number and the total for screen readers. */
export function positionItem(node, { top, index, total }) {
  if (node.style.transform !== top) node.style.transform = top;
  attribute(node, "aria-posinset", index + 1);
  attribute(node, "aria-setsize", total);
}

/** The same for a table row; the header is row 1. */
export function positionRow(node, { top, index }) {
  if (node.style.transform !== top) node.style.transform = top;
  attribute(node, "aria-rowindex", index + 2);
}
