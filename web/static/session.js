// Requests to the agent, with the user's token if there is one.

const KEY = "transfer-agent-token";

/** The browser tab's access; `onToken()` is called when the user has entered another token. */
export class Session {
  #asking = null;

  constructor(dialog, onToken) {
    this.dialog = dialog;
    this.onToken = onToken;
  }

  get token() {
    return sessionStorage.getItem(KEY);
  }

  /** Asks for the token; true if one was entered. Several callers share one dialog. */
  ask() {
    this.#asking ??= answerOf(this.dialog).then((answer) => {
      this.#asking = null;
      if (answer !== "ok") return false;
      const field = this.dialog.querySelector("input");
      sessionStorage.setItem(KEY, field.value);
      field.value = "";
      this.onToken();
      return true;
    });
    return this.#asking;
  }

  /** True if the agent requires a token, or another one, for reading. */
  async locked() {
    const answer = await this.#fetch("GET", "api/routes").catch(() => null);
    return answer?.status === 401;
  }

  /** The answer of a path, as JSON. Rejects if there is none. */
  async read(path) {
    const answer = await this.#fetch("GET", path);
    if (!answer.ok) throw new Error(await reasonOf(answer));
    return answer.json();
  }

  /** Sends a command. Returns null if it was accepted, else one line of text for people. */
  async command(path) {
    try {
      let answer = await this.#fetch("POST", path);
      while (answer.status === 401 && (await this.ask())) answer = await this.#fetch("POST", path);
      return answer.ok ? null : await reasonOf(answer);
    } catch {
      return "The agent did not answer. Try again once the page is live.";
    }
  }

  #fetch(method, path) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    return fetch(path, { method, headers, cache: "no-store" });
  }
}

/** Opens a dialog and waits for the value of the button that closed it ("" for Escape). */
export function answerOf(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

/** The sentence of problem details (RFC 9457); for any other answer its status. */
async function reasonOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail || problem.title || `The agent answered ${answer.status}.`;
}
