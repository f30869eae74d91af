"use strict";
// Values of events are shown as text nodes only: nothing that a sender wrote can become markup.
const el = (tag, text, cls) => { const node = document.createElement(tag); if (text !== undefined) node.textContent = text; if (cls) node.className = cls; return node; };
const byId = (id) => document.getElementById(id);
const time = (ms) => new Date(ms).toISOString().slice(11, 19);
const number = (n) => n.toLocaleString("en");

async function read(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(15000) });
  return answer.json();
}

function showCounts(counts) {
  const state = byId("state");
  const flight = Object.entries(counts.in_flight).filter(([, n]) => n).map(([name, n]) => `${number(n)} ${name}`).join(", ");
  state.textContent = counts.reconciles ? (counts.settled ? "Everything is accounted for." : `All parts agree; ${flight ? `on its way: ${flight}` : "Kafka does not say whether more is on its way"}.`) : "The parts do not agree: see the failed check.";
  state.className = counts.reconciles ? "good" : "bad";
  byId("totals").replaceChildren(...Object.entries(counts.totals).map(([name, n]) => { const group = el("div"); group.append(el("dt", name), el("dd", number(n))); return group; }));
  byId("minutes").replaceChildren(...counts.minutes.slice(-10).reverse().map((m) => { const row = el("tr"); row.append(el("td", time(m.minute_ms).slice(0, 5)), ...["received", "accepted", "duplicate", "quarantined", "refused", "staged", "loaded"].map((key) => el("td", number(m[key])))); return row; }));
  byId("checks").replaceChildren(...counts.checks.filter((c) => !c.holds).map((c) => el("li", `${c.name}: ${number(c.left)} against ${number(c.right)} (${c.position})`, "bad")));
}

function showLive(events) {
  if (!events.length) return;
  byId("live").replaceChildren(...events.map((event) => {
    const row = el("tr"), cell = el("td"), button = el("button", event.receipt, "link");
    button.type = "button";
    button.addEventListener("click", () => follow(event.receipt));
    cell.append(button);
    row.append(cell, el("td", time(event.at_ms)), el("td", event.source), el("td", event.verdict ?? "undecided", event.verdict ?? "waiting"), el("td", event.excerpt, "excerpt"));
    return row;
  }));
}

async function follow(id) {
  byId("xray-id").value = id;
  const box = byId("xray");
  box.replaceChildren(el("p", "Following…"));
  try {
    const found = await read(`/v1/events/${encodeURIComponent(id)}`);
    const list = el("ol");
    for (const step of found.steps) {
      const item = el("li"), more = el("details");
      item.append(el("strong", step.name, step.state), el("span", ` ${step.at_ms ? time(step.at_ms) : ""} ${step.explanation}`));
      more.append(el("summary", "facts"), el("pre", JSON.stringify(step.facts ?? {}, null, 1)));
      item.append(more);
      list.append(item);
    }
    const others = el("p", found.appearances.length > 1 ? `Records with this id: ${found.appearances.map((a) => `${a.receipt} ${a.verdict}`).join(", ")}` : "");
    box.replaceChildren(el("p", found.explanation), list, others);
  } catch (error) {
    box.replaceChildren(el("p", `The API did not answer: ${error.message}`, "bad"));
  }
}

byId("xray-form").addEventListener("submit", (event) => { event.preventDefault(); follow(byId("xray-id").value.trim()); });

async function refresh() {
  try {
    const [counts, live] = await Promise.all([read("/v1/counts?minutes=10"), read("/v1/live")]);
    showCounts(counts);
    showLive(live);
  } catch (error) {
    byId("state").textContent = `The API did not answer: ${error.message}`;
    byId("state").className = "bad";
  }
  setTimeout(refresh, 1000);
}
refresh();
