// The creators: searched, filtered, sorted, and shown some at a time; their previews are read when they are shown.

const DUPLICATE = "duplicate", IN_A_BLOCK = batch.block;
// How large previews are, and how many of them are shown at a time: whole rows of a wide window.
const [SIZE, AT_A_TIME] = batch.creators <= 50 ? ["large", 24] : batch.creators <= 500 ? ["medium", 25] : ["small", 28];
const [NAME, IMAGES, ERRORS, PAGES, SECONDS, MODE] = [0, 1, 2, 3, 4, 5];
const creators = [], previewBlocks = document.querySelectorAll("script.previews"), previewsRead = new Map();
const heads = block("heads"), links = block("links");
let chosen = [], from = 0, opened = null;

for (const found of document.querySelectorAll("script.creators")) {
  for (const told of JSON.parse(found.textContent)) {
    const failed = Object.entries(told[ERRORS]).reduce((sum, [why, n]) => sum + (why === DUPLICATE ? 0 : n), 0);
    creators.push({place: creators.length, told, failed, searched: told[NAME].normalize("NFKC").toLocaleLowerCase()});
  }
}
let pagesBefore = 0;
for (const creator of creators) { creator.pagesBefore = pagesBefore; pagesBefore += creator.told[PAGES].length; }

function previews(place) {
  const number = Math.floor(place / IN_A_BLOCK);
  if (!previewsRead.has(number)) {
    if (previewsRead.size > 30) previewsRead.clear();
    previewsRead.set(number, previewBlocks[number] ? JSON.parse(previewBlocks[number].textContent) : []);
  }
  return (previewsRead.get(number)[place % IN_A_BLOCK] ?? []).map(text => {
    const at = text.indexOf(":");
    return "data:image/jpeg;base64," + heads[+text.slice(0, at)] + text.slice(at + 1);
  });
}

// A link that signs this very page opens nothing beside it, so no link to a collage is shown then.
const query = new URLSearchParams(location.search);
const isSigned = query.has("X-Amz-Signature") || query.has("Signature");

function linkOf(creator, page) {
  const signed = links?.signed[creator.pagesBefore + page];
  if (signed) return /^https?:/.test(signed) ? signed : links.base + creator.told[PAGES][page] + "?"
    + links.queries[+signed.slice(0, signed.indexOf(":"))] + signed.slice(signed.indexOf(":") + 1);
  return isSigned ? null : batch.base + creator.told[PAGES][page];
}

function endOfLink() {
  if (query.has("Expires")) return new Date(query.get("Expires") * 1000);
  const made = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get("X-Amz-Date") ?? "");
  return made && new Date(Date.UTC(made[1], made[2] - 1, made[3], made[4], made[5], +made[6] + +query.get("X-Amz-Expires")));
}

function tellOfLinks() {
  const end = isSigned && endOfLink();
  const told = [links && filled(words.links_until, day(links.until)),
    isSigned && (end ? filled(words.page_until, day(end)) : words.page_for_a_while),
    isSigned && !links && filled(words.full_size, batch.id)].filter(Boolean);
  byId("link-note").hidden = !told.length;
  byId("link-note").textContent = told.join(" ");
}

const FILTERS = {
  all: () => true,
  with_collage: creator => creator.told[PAGES].length > 0,
  with_failures: creator => creator.failed > 0,
  without_collage: creator => creator.told[PAGES].length === 0,
};

function choose() {
  const wanted = byId("search").value.normalize("NFKC").toLocaleLowerCase().trim(), order = byId("sort").value;
  const passes = FILTERS[byId("filter").value];
  chosen = creators.filter(creator => passes(creator) && creator.searched.includes(wanted));
  const compare = new Intl.Collator(locale, {numeric: true}).compare;
  const by = {name: (a, b) => compare(a.told[NAME], b.told[NAME]), failures: (a, b) => b.failed - a.failed,
    images: (a, b) => b.told[IMAGES] - a.told[IMAGES], manifest: () => 0}[order];
  chosen.sort((a, b) => by(a, b) || a.place - b.place);
  show(0);
}

function show(first) {
  from = Math.max(0, Math.min(first, Math.floor((chosen.length - 1) / AT_A_TIME) * AT_A_TIME));
  byId("found").textContent = counted("n_creators", chosen.length);
  byId("list").replaceChildren(...chosen.slice(from, from + AT_A_TIME).map(card));
  const last = Math.ceil(chosen.length / AT_A_TIME), page = from / AT_A_TIME + 1;
  byId("pager").hidden = last < 2;
  byId("place").textContent = filled(words.page_of, number(page), number(last));
  byId("first").disabled = byId("back").disabled = page === 1;
  byId("next").disabled = byId("last").disabled = page >= last;
}

function card(creator) {
  const {told, failed} = creator, [first] = previews(creator.place), picture = element("span", {className: "picture"});
  if (first) picture.append(element("img", {src: first, alt: "", decoding: "async"}));
  else picture.append(told[PAGES].length ? words.no_preview : words.no_collage);
  const facts = counted("n_images", told[IMAGES]) + (told[PAGES].length > 1 ? " · " + counted("n_pages", told[PAGES].length) : "");
  const text = element("span", {className: "told"}, element("bdi", {className: "name", textContent: told[NAME]}),
    element("span", {className: "dim", textContent: facts}));
  if (failed) text.append(element("span", {className: "bad", textContent: counted("n_failed", failed)}));
  const button = element("button", {type: "button", className: "card"}, picture, text);
  button.addEventListener("click", () => open(creator));
  return element("li", {}, button);
}

function open(creator) {
  opened = creator;
  const {told} = creator, shown = previews(creator.place);
  byId("creator-name").replaceChildren(element("bdi", {textContent: told[NAME]}));
  const mode = told[MODE] === "normal" ? "" : " · " + words["mode_" + told[MODE]];
  const body = [element("p", {className: "dim", textContent: counted("n_images", told[IMAGES]) + " · " + duration(told[SECONDS]) + mode})];
  const place = chosen.indexOf(creator);
  byId("earlier").disabled = place <= 0;
  byId("later").disabled = place < 0 || place >= chosen.length - 1;
  told[PAGES].forEach((_key, page) => body.push(pageOf(creator, page, shown[page])));
  const rows = rowsOf(creator);
  for (const [reason, count] of Object.entries(told[ERRORS])) {
    body.push(element("p", {}, element("strong", {textContent: number(count) + " "}), element("code", {textContent: reason}),
      element("span", {className: "dim", textContent: " " + meaning(reason)})));
  }
  if (rows.length) body.push(tableOf(rows, true, told[NAME]));
  byId("creator-body").replaceChildren(...body);
  if (!byId("creator").open) byId("creator").showModal();
  byId("creator").scrollTop = 0;
}

function pageOf(creator, page, preview) {
  const title = filled(words.page_of, number(page + 1), number(creator.told[PAGES].length));
  const link = linkOf(creator, page), caption = element("figcaption", {}, title + " ");
  if (link) caption.append(element("a", {href: link, textContent: words.open_full, rel: "noreferrer", target: "_blank"}));
  const picture = preview ? element("img", {src: preview, alt: filled(words.collage_of, creator.told[NAME]) + ", " + title})
    : element("p", {className: "dim", textContent: words.no_preview});
  return element("figure", {className: "page"}, picture, caption);
}

function step(by) {
  const next = chosen[chosen.indexOf(opened) + by];
  if (next) open(next);
}
