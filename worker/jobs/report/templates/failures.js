// Failed rows by reason, and as a file to take away. Then the page begins.

const rowBlocks = new Map([...document.querySelectorAll("script.rows")].map(found => [found.dataset.reason, found]));
const rowsRead = new Map(batch.rejects.map(([reason, rows]) => ["rejects " + reason, rows]));
const [BY, LINE, URL_GIVEN, MESSAGE] = [0, 1, 2, 3], ROWS_AT_A_TIME = 25;
let rowsByCreator = null;

function rowsFor(reason) {
  if (!rowsRead.has(reason)) rowsRead.set(reason, rowBlocks.has(reason) ? JSON.parse(rowBlocks.get(reason).textContent) : []);
  return rowsRead.get(reason);
}

function rowsOf(creator) {
  if (!rowsByCreator) {
    rowsByCreator = new Map();
    for (const reason of rowBlocks.keys()) for (const row of rowsFor(reason)) {
      if (!rowsByCreator.has(row[BY])) rowsByCreator.set(row[BY], []);
      rowsByCreator.get(row[BY]).push(row);
    }
  }
  return [...rowsByCreator.get(creator.told[NAME]) ?? []].sort((a, b) => a[LINE] - b[LINE]).slice(0, 200);
}

function tableOf(rows, isCreators, title) {
  const heading = key => element("th", {scope: "col", textContent: words[key]});
  const head = element("tr", {}, ...isCreators ? [] : [heading("creator")], heading("line"), heading("url"), heading("message"));
  const lines = rows.map(row => {
    const cells = [BY, LINE, URL_GIVEN, MESSAGE].slice(isCreators ? 1 : 0).map(place =>
      element("td", {}, element("bdi", {textContent: place === LINE ? number(row[LINE]) : row[place]})));
    return element("tr", {}, ...cells);
  });
  const region = element("div", {className: "scroll rows", tabIndex: 0});
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", words.rows + " · " + title);
  region.append(element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
  return region;
}

function hostsOf(rows) {
  const counts = new Map();
  for (const row of rows) {
    const host = /^[a-z]+:\/\/(?:[^/?#]*@)?([^/?#]+)/i.exec(row[URL_GIVEN])?.[1];
    if (host) counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5);
}

function fill(group, first = 0) {
  const reason = (group.hasAttribute("data-rejects") ? "rejects " : "") + group.dataset.reason, rows = rowsFor(reason);
  const body = [], hosts = hostsOf(rows), shown = rows.slice(first, first + ROWS_AT_A_TIME);
  if (hosts.length) body.push(element("p", {className: "dim", textContent: words.hosts + " "
    + hosts.map(([host, count]) => host + " " + number(count)).join(", ")}));
  if (shown.length) body.push(tableOf(shown, false, reason));
  else body.push(element("p", {className: "dim", textContent: words.no_rows}));
  if (rows.length > ROWS_AT_A_TIME) body.push(steps(group, rows.length, first));
  group.querySelector(".rows").replaceChildren(...body);
}

function steps(group, count, first) {
  const move = (key, to) => {
    const button = element("button", {type: "button", textContent: words[key], disabled: to < 0 || to >= count});
    button.addEventListener("click", () => { fill(group, to); group.querySelector(".pager button:enabled").focus(); });
    return button;
  };
  const place = filled(words.rows_of, number(first + 1), number(Math.min(count, first + ROWS_AT_A_TIME)), number(count));
  return element("div", {className: "pager"}, move("back", first - ROWS_AT_A_TIME), element("span", {textContent: place}),
    move("next", first + ROWS_AT_A_TIME));
}

// A spreadsheet must not take what strangers wrote for a formula.
function cell(value) {
  const text = String(value), safe = /^\s*[=+\-@\t\r＝＋－＠]/.test(text) ? "'" + text : text;
  return '"' + safe.replaceAll('"', '""') + '"';
}

function csv() {
  const lines = [["reason", "creator", "line", "url", "message"]];
  for (const reason of rowBlocks.keys()) for (const row of rowsFor(reason)) lines.push([reason, ...row]);
  for (const [reason, rows] of batch.rejects) for (const row of rows) lines.push([reason, ...row]);
  return "\ufeff" + lines.map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function take() {
  const file = URL.createObjectURL(new Blob([csv()], {type: "text/csv;charset=utf-8"}));
  element("a", {href: file, download: batch.id + ".failures.csv"}).click();
  setTimeout(() => URL.revokeObjectURL(file), 60000);
}

function say(wanted) {
  speak(wanted);
  tellOfLinks();
  choose();
  each("details.reason[open]", group => fill(group));
}

each("details.reason", group => group.addEventListener("toggle", () => { if (group.open) fill(group); }));
byId("take")?.addEventListener("click", take);
byId("search").addEventListener("input", choose);
for (const id of ["filter", "sort"]) byId(id).addEventListener("change", choose);
const turn = (id, to) => byId(id).addEventListener("click", () => { show(to()); byId("creators").scrollIntoView(); });
turn("first", () => 0);
turn("back", () => from - AT_A_TIME);
turn("next", () => from + AT_A_TIME);
turn("last", () => chosen.length);
byId("earlier").addEventListener("click", () => step(-1));
byId("later").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => byId("creator").close());
byId("creator").addEventListener("click", event => { if (event.target === byId("creator")) byId("creator").close(); });
byId("creator").addEventListener("keydown", event => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
byId("language").addEventListener("click", () => say(language === "zh" ? "en" : "zh"));
each(".tools, #language, #take", found => { found.hidden = false; });

byId("list").classList.add(SIZE);
byId("creator").classList.add(SIZE);
say(/^zh/i.test(navigator.languages.find(one => /^(zh|en)/i.test(one)) ?? "en") ? "zh" : "en");
