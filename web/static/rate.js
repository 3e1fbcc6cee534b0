// Speed, computed from successive byte counts.

const WINDOW_MS = 8000;
const SETTLE_MS = 1000;

/** Bytes per second over the last seconds; falls towards zero while nothing arrives. */
export class Rate {
  #samples = [];

  /** A smaller count than before (a new attempt, another phase) starts a new measurement. */
  add(bytes, nowMs) {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ bytes, nowMs });
    this.#forget(nowMs);
  }

  /** null until there are samples over SETTLE_MS. */
  perSecond(nowMs) {
    this.#forget(nowMs);
    const first = this.#samples[0];
    if (!first || nowMs - first.nowMs < SETTLE_MS) return null;
    return ((this.#samples.at(-1).bytes - first.bytes) * 1000) / (nowMs - first.nowMs);
  }

  #forget(nowMs) {
    while (this.#samples.length > 1 && this.#samples[1].nowMs <= nowMs - WINDOW_MS) this.#samples.shift();
  }
}
