// Fetches files that the live feed did not contain, one page at a time, when they are needed.

const PAGE_FILES = 250;
const RETRY_MS = 2000;

/** One request at a time; `onChange()` is called after each. */
export class Pages {
  #cursors = new Map(); // by query: where its next page begins, null after the last
  #busy = false;

  constructor(state, session, onChange) {
    Object.assign(this, { state, session, onChange });
  }

  /** After a snapshot all pages must be fetched again. */
  reset() {
    this.#cursors.clear();
  }

  /** True if there is no more to fetch. */
  ended(query) {
    return this.#cursors.get(query) === null;
  }

  /** Fetches the next page of the files that a query (as in "status=Failed") chooses. */
  async fetch(query) {
    if (this.#busy || this.ended(query)) return;
    this.#busy = true;
    const asked = this.state.ask();
    const cursor = this.#cursors.get(query);
    const from = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const path = `api/files?verbose&limit=${PAGE_FILES}&${query}${from}`;
    const page = await this.session.read(path).catch(() => null);
    const isCurrent = this.state.admit(asked, page?.files ?? [], performance.now());
    if (!page) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    else if (isCurrent) this.#cursors.set(query, page.next_cursor ?? null);
    this.#busy = false;
    this.onChange();
  }
}
