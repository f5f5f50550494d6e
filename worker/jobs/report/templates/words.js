"use strict";
// The language: English or Chinese as the browser asks, numbers and times as its locale writes them.

const byId = id => document.getElementById(id);
const block = id => JSON.parse(byId(id).textContent);
const batch = block("batch"), allWords = block("words");
let language = "en", words = allWords.en, locale = navigator.language;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function number(value) { return new Intl.NumberFormat(locale, {maximumFractionDigits: 2}).format(value); }

function filled(text, ...values) { return values.reduce((told, value) => told.replace("{}", () => value), text); }

function counted(word, count) {
  const form = words[word + "_one"] && new Intl.PluralRules("en").select(count) === "one" ? "_one" : "_other";
  return filled(words[word + form], number(count));
}

function duration(seconds) {
  const parts = seconds < 60 ? [[seconds < 10 ? Math.round(seconds * 100) / 100 : Math.round(seconds), "second"]]
    : seconds < 3600 ? [[Math.floor(seconds / 60), "minute"], [Math.floor(seconds % 60), "second"]]
    : [[Math.floor(seconds / 3600), "hour"], [Math.floor(seconds % 3600 / 60), "minute"]];
  return parts.map(([value, unit]) =>
    new Intl.NumberFormat(locale, {style: "unit", unit, unitDisplay: "short"}).format(value)).join(" ");
}

const day = value => new Intl.DateTimeFormat(locale, {dateStyle: "medium", timeStyle: "short"}).format(new Date(value));

function clock(seconds) {
  const style = batch.seconds > 172800 ? {month: "short", day: "numeric", hour: "2-digit"}
    : batch.span < 60 ? {hour: "2-digit", minute: "2-digit", second: "2-digit"} : {hour: "2-digit", minute: "2-digit"};
  return new Intl.DateTimeFormat(locale, style).format(new Date(seconds * 1000));
}

function meaning(reason) { return allWords.reasons[reason]?.[language] ?? ""; }

const each = (selector, change) => document.querySelectorAll(selector).forEach(change);

function speak(wanted) {
  language = wanted;
  words = allWords[language];
  const tag = language === "zh" ? "zh-CN" : "en";
  locale = navigator.languages.find(one => one.toLowerCase().startsWith(language))
    ?? (language === "en" && !/^zh/i.test(navigator.language) ? navigator.language : tag);
  document.documentElement.lang = tag;
  each("[data-t]", found => { found.textContent = words[found.dataset.t]; });
  each("[data-label]", found => { found.setAttribute("aria-label", words[found.dataset.label]); });
  each("[data-n]", found => { found.textContent = number(+found.dataset.n); });
  each("[data-seconds]", found => { found.textContent = duration(+found.dataset.seconds); });
  each("[data-clock]", found => { found.textContent = clock(+found.dataset.clock); });
  each("time[datetime]", found => { found.textContent = day(found.dateTime); });
  each("[data-reason-text]", found => {
    const text = meaning(found.dataset.reasonText);
    if (text) found.textContent = text;
  });
  byId("language").textContent = language === "zh" ? "English" : "中文";
  byId("language").lang = language === "zh" ? "en" : "zh-CN";
}
