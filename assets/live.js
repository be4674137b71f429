// Shows what changes without a reload. The page is complete without it.
"use strict";
(() => {
  const main = document.getElementById("main");
  let waiting = 0;
  const refresh = async () => {
    waiting = 0;
    // Somebody is about to press a button or reads an opened part: leave it alone.
    if (main.contains(document.activeElement) || main.querySelector("details[open]")) return;
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
