// Shows what changes without a reload, and times as the clock here shows them. The page is
// complete without it.
"use strict";
(() => {
  const main = document.getElementById("main");
  const isLogin = location.pathname === "/login";
  let waiting = 0, notice = null;

  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  // Local times; those of UTC are shown on hover.
  const localise = () => {
    for (const time of main.querySelectorAll("time.clock")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
      time.textContent = `${day(at)} ${clock(at)}`;
    }
  };

  // One line at the foot of the window, with what can be done about it.
  const say = (text, does) => {
    if (!notice) {
      notice = document.createElement("p");
      notice.className = "notice";
      notice.setAttribute("role", "status");
      document.querySelector("footer").before(notice);
    }
    notice.replaceChildren(`${text} `);
    if (does) notice.append(does);
  };
  const hush = () => { notice?.remove(); notice = null; };
  const loggedOut = () => {
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "Log in";
    say("You are logged out: this page shows how it was before.", link);
    events?.close();
  };

  // Somebody is about to press a button, reads an opened part or has written something: that is
  // left alone, and what is new is offered.
  const isInUse = () => {
    const written = (field) => field.value !== field.defaultValue;
    return main.contains(document.activeElement) || main.querySelector("details[open]")
      || [...main.querySelectorAll("input, textarea")].some(written);
  };
  const refresh = async (asked) => {
    waiting = 0;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (new URL(answer.url).pathname === "/login" && !isLogin) return loggedOut();
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("main");
    if (!next) return;
    if (!asked && isInUse()) {
      const button = document.createElement("button");
      button.textContent = "Show it";
      button.addEventListener("click", () => refresh(true).catch(() => {}));
      return say("There is something newer.", button);
    }
    main.replaceChildren(...next.childNodes);
    document.title = page.title;
    hush();
    localise();
  };
  const soon = () => { waiting ||= setTimeout(() => refresh(false).catch(() => {}), 400); };

  let events = null;
  const follow = () => {
    events = new EventSource("/api/events");
    for (const name of ["cycle_finished", "incident", "validation", "frozen", "gap"]) {
      events.addEventListener(name, soon);
    }
    let isLost = false;
    events.addEventListener("open", () => {
      if (isLost) { hush(); soon(); }
      isLost = false;
    });
    events.addEventListener("error", () => {
      // The server refused, and the browser tries no more: the page says why.
      if (events.readyState === EventSource.CLOSED) return setTimeout(ask, 500);
      if (!isLost) say(`Selfheal does not answer: this is how it was at ${clock(new Date())}.`);
      isLost = true;
    });
  };
  // Whether somebody is still let in, or the server is only busy.
  const ask = async () => {
    const answer = await fetch(location.href, { method: "HEAD" }).catch(() => null);
    if (answer && new URL(answer.url).pathname === "/login") return loggedOut();
    setTimeout(follow, 5000);
  };
  localise();
  if (isLogin) return;
  follow();
  // What is said of how long ago something was grows old.
  setInterval(() => { if (!document.hidden && !isInUse()) soon(); }, 60_000);
  // Frees the connection for the next page.
  addEventListener("pagehide", () => events.close());
})();
