// Small line icons, so that a status never depends on colour alone.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  copy: "M8 2v9M4.5 7.5 8 11l3.5-3.5M3 14h10",
  verify: "M2.5 7a4.5 4.5 0 1 1 9 0 4.5 4.5 0 1 1-9 0M10.3 10.3 14 14M5 7l1.5 1.5L9.3 5.7",
  pause: "M5.5 3v10M10.5 3v10",
  play: "M5 3l8 5-8 5z",
  hold: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  queue: "M3 4h10M3 8h10M3 12h6",
  ready: "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2M8 7.9v.2",
  grow: "M2.5 13.5h11M4 10.5V9M8 10.5v-4M12 10.5V3",
  seen: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8M8 6.4a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 1 1 0-3.2",
  done: "M3 8.5 6.5 12 13 4.5",
  fail: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2 14.5 13.5h-13zM8 6.5v3M8 11.4v.2",
  arrow: "M2.5 8h11M9.5 4l4 4-4 4",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  live: "M8 5.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 1 1 0-5M3.5 12.5a6.4 6.4 0 0 1 0-9M12.5 3.5a6.4 6.4 0 0 1 0 9",
  lost: "M2.5 2.5l11 11M3.5 12.5a6.4 6.4 0 0 1 0-9M12.5 3.5a6.4 6.4 0 0 1 0 9",
};

const STATUS_ICONS = {
  Discovered: "seen",
  Growing: "grow",
  Ready: "ready",
  InQueue: "queue",
  Copying: "copy",
  Verifying: "verify",
  Paused: "pause",
  Held: "hold",
  Completed: "done",
  Failed: "fail",
};

/** Labels for statuses whose name in the contract does not read well. */
export const STATUS_WORDS = { InQueue: "In queue" };

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  setIcon(svg, name);
  return svg;
}

export function setIcon(svg, name) {
  if (svg.dataset.icon === name) return;
  svg.dataset.icon = name;
  svg.firstChild.setAttribute("d", PATHS[name]);
}

/** A status as icon and word, coloured by `data-status`. */
export function statusMark() {
  const word = document.createElement("span");
  const mark = document.createElement("span");
  const svg = icon("seen");
  mark.className = "mark";
  mark.append(svg, word);
  return {
    node: mark,
    update(status) {
      if (mark.dataset.status === status) return;
      mark.dataset.status = status;
      setIcon(svg, STATUS_ICONS[status]);
      word.textContent = STATUS_WORDS[status] ?? status;
    },
  };
}
