// Creates and updates elements. Text is always set as text, never as HTML.

/** An element; attributes as written in HTML, listeners as `onclick`. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Writes only what differs, so that selections stay and screen readers do not repeat it. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Children of `parent` by key. A row belongs to one item while it is shown, and is reused later. */
export class Rows {
  #parent;
  #create;
  #rows = new Map();
  #spare = [];

  /** `create()` makes a row `{node, update(item, ...context)}`. */
  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  /** The key of the row that holds the keyboard focus, if any. */
  focusedKey() {
    const focused = document.activeElement;
    if (!this.#parent.contains(focused)) return undefined;
    for (const [key, row] of this.#rows) if (row.node.contains(focused)) return key;
    return undefined;
  }

  /**
   * Shows exactly these `[key, item, ...context]`, in this order, without taking the focus away; where the
   * focused row itself has gone, the focus moves to the section's heading.
   */
  show(entries) {
    const focused = document.activeElement;
    const inside = this.#parent.contains(focused);
    const wanted = new Set(entries.map(([key]) => key));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.node.remove();
      this.#rows.delete(key);
      this.#spare.push(row);
    }
    let cursor = this.#parent.firstChild;
    for (const [key, ...about] of entries) {
      const row = this.#rows.get(key) ?? this.#assign(key);
      row.update(...about);
      if (row.node === cursor) cursor = cursor.nextSibling;
      else this.#parent.insertBefore(row.node, cursor);
    }
    if (!inside || focused === document.activeElement) return;
    const next = this.#parent.contains(focused) ? focused : this.#parent.closest("section").querySelector("h2");
    next.focus({ preventScroll: true });
  }

  #assign(key) {
    const row = this.#spare.pop() ?? this.#create();
    this.#rows.set(key, row);
    return row;
  }
}
