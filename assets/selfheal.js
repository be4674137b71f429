// What htmx and uPlot are told; every page is complete without. It runs first, to hear every event.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const all = (what) => [...document.querySelectorAll(`#main ${what}`)];
  // As the clock here has it; UTC on hover.
  const local = (at) =>
    new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
  const localise = () => {
    for (const time of all("time.clock")) {
      time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
      time.textContent = local(new Date(time.dateTime));
    }
  };

  // One line at the foot of the window.
  let notice, isLost;
  const hush = () => notice?.remove();
  const say = (text, tag, does) => {
    hush();
    notice = Object.assign(document.createElement("p"), { className: "notice", role: "status" });
    document.querySelector("footer").before(notice);
    notice.append(`${text} `, tag ? Object.assign(document.createElement(tag), does) : "");
  };
  // What somebody is about to press, has opened or has written is left alone; what is new, offered.
  const isInUse = () => by("main").contains(document.activeElement) || all("details[open]").length
    || all("input, textarea").some((field) => field.value !== field.defaultValue);
  const offer = () => say("There is something newer.", "button", {
    textContent: "Show it", onclick: () => htmx.trigger(by("news"), "show"),
  });
  const loggedOut = () => {
    const href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    say("You are logged out: this page shows how it was before.", "a", { href, textContent: "Log in" });
    by("news").remove();
  };
  const lost = () => {
    if (!isLost) say(`Selfheal does not answer: this is how it was at ${local(new Date())}.`);
    isLost = true;
  };
  const refuses = (status) => [401, 403].includes(status);

  const on = (name, does) =>
    document.addEventListener(`htmx:${name}`, (event) => does(event.detail, event));
  const leaveAlone = ({ ctx: { sourceElement, sourceEvent: { type } } }, event) => {
    const isTimed = type === "every";
    if (sourceElement.id !== "news" || type === "show") return;
    if (!isInUse() && !(isTimed && document.hidden)) return;
    event.preventDefault();
    if (!isTimed) offer();
  };
  on("config:request", leaveAlone);
  on("before:swap", leaveAlone);
  let again;
  const refused = (status, wait) => {
    say(`Selfheal ${status === 429 ? "is asked too often" : `answers ${status}`}: this is how it was before.`);
    clearTimeout(again);
    again = setTimeout(() => by("news") && htmx.trigger(by("news"), "gap"), 1000 * (+wait || 10));
  };
  on("before:response", ({ ctx: { sourceElement: { id }, response: { status, headers, raw } } }, event) => {
    // A stream that is refused is tried anew below.
    const isBusy = id === "news" && (status === 429 || status > 499);
    if (!isBusy && !refuses(status) && new URL(raw.url).pathname !== "/login") return;
    event.preventDefault();
    if (isBusy) refused(status, headers.get("Retry-After"));
    else loggedOut();
  });
  on("after:swap", () => { hush(); localise(); drawAll(); });
  // The extension tries a stream anew only once it began.
  const tryAgain = ({ ctx }) => {
    if (ctx?.sourceElement.id !== "events") return;
    lost();
    setTimeout(() => htmx.process(by("events"), true), 5000);
  };
  on("error", tryAgain);
  on("response:error", tryAgain);
  on("sse:error", ({ status }) => (refuses(status) ? loggedOut() : lost()));
  on("sse:after:connection", () => {
    if (isLost) htmx.trigger(by("news"), "gap");
    isLost = false;
  });

  // uPlot in place of the server's drawing.
  const drawn = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (tone) => getComputedStyle(document.body).getPropertyValue(`--${tone}`);
  const shown = (value, unit) => value == null ? "" : `${+value.toFixed(2)} ${unit}`;
  const moment = (at) => at == null ? "" : local(new Date(at * 1000));
  const axis = (more) => ({
    stroke: colour("soft"), ticks: { show: false }, grid: { stroke: colour("line"), width: 1 }, ...more,
  });
  const line = ({ name, unit, tone, look }) => {
    const [stroke, isMark] = [colour(tone), look === "marks"];
    return {
      label: name, scale: `y${unit}`, stroke, width: isMark ? 0 : 2,
      dash: look === "dashed" ? [4, 4] : [], points: isMark ? { show: true, size: 7, fill: stroke } : {},
      value: (_, value) => isMark ? value == null ? "" : "●" : shown(value, unit),
    };
  };
  const draw = (plot) => {
    const { span: [from, to], shaded, series } = JSON.parse(plot.dataset.chart);
    const part = to - from > 172_800 ? [5, 10] : to - from > 3600 ? [11, 16] : [11];
    const axes = [axis({ size: 30, values: (_, at) => at.map((each) => moment(each).slice(...part)) })];
    const scales = { x: { range: () => from < to ? [from, to] : [from - 60, to + 60] } };
    for (const { unit, range: [low, high] } of series) {
      const scale = `y${unit}`;
      if (scales[scale]) continue;
      scales[scale] = { range: () => [low, high + (high - low) * 0.06] };
      if (unit === "look") continue;
      const values = (_, each) => each.map((value) => shown(value, unit.length < 3 ? unit : ""));
      axes.push(axis({ scale, values, ...(axes[1] ? { side: 1, grid: { show: false } } : {}) }));
    }
    const shade = ({ ctx, bbox: { top, height }, valToPos }) => {
      for (const { tone, from, to } of shaded) {
        const x = valToPos(from, "x", true);
        ctx.fillStyle = colour(tone);
        ctx.fillRect(x, top, valToPos(to, "x", true) - x, height);
      }
    };
    plot.replaceChildren();
    plot.classList.toggle("many", !!series[1]);
    const width = plot.clientWidth;
    return new uPlot({
      width, height: width < 480 ? 150 : 220, scales, axes, hooks: { drawClear: [shade] },
      series: [{ label: "", value: (_, at) => moment(at) }, ...series.map(line)],
      cursor: { y: false, drag: { x: false } },
    }, uPlot.join(series.map(({ at, values }) => [at, values])), plot);
  };
  const drawAll = () => {
    const like = (plot) => plot.isConnected && `${dark.matches} ${plot.clientWidth} ${plot.dataset.chart}`;
    for (const [plot, { chart, as }] of drawn) {
      if (as === like(plot)) continue;
      chart.destroy();
      drawn.delete(plot);
    }
    for (const plot of all(".plot")) {
      if (!drawn.has(plot)) drawn.set(plot, { chart: draw(plot), as: like(plot) });
    }
  };
  localise();
  addEventListener("DOMContentLoaded", drawAll);
  addEventListener("resize", drawAll);
  dark.onchange = drawAll;
})();
