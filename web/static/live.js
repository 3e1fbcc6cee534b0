// The WebSocket: reconnects by itself, and detects a dead connection.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const QUIET_MS = 20_000;
const PROBE_LIMIT_MS = 5_000;
const PROTOCOL = "transfer-agent";
const WINDOW = 250; // files in a message at most; others are fetched when they are needed

/** How long to wait before attempt number `failures` + 1: doubling, spread over the upper half. */
export function backOff(failures, random = Math.random()) {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return longest * (0.5 + random / 2);
}

/**
 * A live feed. `onMessage(message)` returns false if the connection must be closed and opened again;
 * `onChange()` is called whenever `state` (connecting | live | waiting) or `retryAt` changed;
 * `onRefused()` when an attempt ended before it was open.
 */
export class Live {
  state = "connecting";
  retryAt = 0;
  #failures = 0;
  #socket = null;
  #timer = 0;
  #receivedAt = 0;

  constructor(session, { onMessage, onChange, onRefused }) {
    Object.assign(this, { session, onMessage, onChange, onRefused });
    addEventListener("online", () => this.reconnect());
    addEventListener("offline", () => this.#drop());
    setInterval(() => this.#probe(), PROBE_LIMIT_MS);
  }

  /** Connects now instead of at `retryAt`. */
  reconnect() {
    this.#drop();
    this.#failures = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    const token = this.session.token;
    const address = new URL(`ws?window=${WINDOW}`, document.baseURI.replace(/^http/, "ws"));
    const socket = new WebSocket(address, token ? [PROTOCOL, `bearer.${percentEncoded(token)}`] : []);
    let opened = false;
    this.#socket = socket;
    this.#setState("connecting");
    socket.onopen = () => (opened = true);
    socket.onmessage = (event) => this.#receive(socket, JSON.parse(event.data));
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      if (!opened) this.onRefused();
      this.#drop();
    };
  }

  #receive(socket, message) {
    if (socket !== this.#socket) return;
    this.#receivedAt = performance.now();
    if (!this.onMessage(message)) this.#drop();
    else if (this.state !== "live") {
      this.#failures = 0;
      this.#setState("live");
    }
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    const wait = backOff(this.#failures);
    this.#failures += 1;
    this.retryAt = Date.now() + wait;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#setState("waiting");
  }

  /** A page cannot send a ping. After QUIET_MS without a message it asks /livez whether the agent answers. */
  async #probe() {
    const socket = this.#socket;
    if (this.state !== "live" || performance.now() - this.#receivedAt < QUIET_MS) return;
    this.#receivedAt = performance.now();
    const limit = { cache: "no-store", signal: AbortSignal.timeout(PROBE_LIMIT_MS) };
    const alive = await fetch("livez", limit).then(
      (answer) => answer.ok,
      () => false,
    );
    if (!alive && socket === this.#socket) this.#drop();
  }

  #setState(state) {
    this.state = state;
    this.onChange();
  }
}

/** A subprotocol may have fewer characters than a token (RFC 9110 section 5.6.2). */
function percentEncoded(token) {
  return encodeURIComponent(token).replace(/[()]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
}
