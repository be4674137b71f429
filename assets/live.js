// Shows what changes without a reload. The page is complete without it.
"use strict";
(() => {
  const main = document.getElementById("main");
  let waiting = 0;
  const refresh = async () => {
    waiting = 0;
    // Somebody is about to press a button, reads an opened part or has written something: leave
    // it alone.
    const written = (field) => field.value !== field.defaultValue;
    if (main.contains(document.activeElement) || main.querySelector("details[open]")) return;
    if ([...main.querySelectorAll("input, textarea")].some(written)) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("main");
    if (!next) return;
    main.replaceChildren(...next.childNodes);
    document.title = page.title;
  };
  const soon = () => { waiting ||= setTimeout(() => refresh().catch(() => {}), 400); };
  const events = new EventSource("/api/events");
  for (const name of ["cycle_finished", "incident", "validation", "frozen", "gap"]) {
    events.addEventListener(name, soon);
  }
  // Frees the connection for the next page.
  addEventListener("pagehide", () => events.close());
})();
