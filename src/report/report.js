"use strict";
// The gallery: filters live in the form and in the address (#set=IIIT5K&min=3&...), so that a view can be passed on.
(function () {
  var PAGE = 60;
  var errors = JSON.parse(document.getElementById("data").textContent);
  var form = document.getElementById("filters");
  var gallery = document.getElementById("gallery");
  var count = document.getElementById("count");
  var more = document.getElementById("more");
  var names = ["set", "min", "max", "low", "high", "text", "pair", "order"];
  var chosen = [];
  var shown = 0;

  function element(kind, style, text) {
    var made = document.createElement(kind);
    made.className = style;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function card(error) {
    var box = element("article", "error");
    var picture = element("div", "picture");
    if (error.image) {
      var image = element("img", "");
      image.src = error.image;
      image.alt = "image of " + error.annotated;
      picture.append(image);
    } else {
      picture.append(element("small", "", "no picture"));
    }
    var truth = element("div", "truth", error.truth || "(nothing)");
    truth.title = "annotated as " + error.annotated;
    var place = element("div", "place");
    var path = element("span", "", error.set + ": " + error.path);
    path.title = error.path;
    place.append(path, element("span", "", error.confidence.toFixed(2)));
    place.lastChild.title = "confidence";
    box.append(picture, truth, element("div", "read", error.prediction || "(nothing)"), place);
    return box;
  }

  function values() {
    var found = {};
    names.forEach(function (name) { found[name] = form.elements[name].value.trim(); });
    return found;
  }

  function number(text, otherwise) {
    return text === "" || isNaN(Number(text)) ? otherwise : Number(text);
  }

  function apply() {
    var want = values();
    var text = want.text.toLowerCase();
    chosen = errors.filter(function (error) {
      return (!want.set || error.set === want.set) &&
        error.truth.length >= number(want.min, 0) && error.truth.length <= number(want.max, Infinity) &&
        error.confidence >= number(want.low, 0) && error.confidence <= number(want.high, 1) &&
        (!text || [error.truth, error.prediction, error.annotated.toLowerCase()].some(function (word) {
          return word.includes(text);
        })) && (!want.pair || error.pairs.includes(want.pair));
    });
    var order = {
      sure: function (a, b) { return b.confidence - a.confidence; },
      unsure: function (a, b) { return a.confidence - b.confidence; },
      long: function (a, b) { return b.truth.length - a.truth.length; },
    }[want.order];
    if (order) chosen.sort(order);
    gallery.replaceChildren();
    shown = 0;
    count.textContent = chosen.length === errors.length ? errors.length + " errors" :
      chosen.length + " of " + errors.length + " errors";
    showMore();
  }

  function showMore() {
    chosen.slice(shown, shown + PAGE).forEach(function (error) { gallery.append(card(error)); });
    shown = Math.min(shown + PAGE, chosen.length);
    more.hidden = shown >= chosen.length;
    more.textContent = "More (" + (chosen.length - shown) + " left)";
  }

  function toAddress() {
    var parts = new URLSearchParams();
    Object.entries(values()).forEach(function (item) { if (item[1]) parts.set(item[0], item[1]); });
    history.replaceState(null, "", "#" + (parts.toString() || "errors"));
  }

  function fromAddress() {
    if (!location.hash.includes("=")) return false;
    var parts = new URLSearchParams(location.hash.slice(1));
    names.forEach(function (name) { form.elements[name].value = parts.get(name) || ""; });
    return true;
  }

  form.addEventListener("input", function () { apply(); toAddress(); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function () { setTimeout(function () { apply(); toAddress(); }); });
  more.addEventListener("click", showMore);
  document.addEventListener("click", function (event) {
    var link = event.target.closest("[data-pair]");
    if (!link) return;
    form.reset();
    form.elements.pair.value = link.dataset.pair;
    form.elements.set.value = link.dataset.set || "";
    setTimeout(function () { apply(); toAddress(); });
  });
  document.querySelectorAll(".choice select").forEach(function (select) {
    var views = select.closest("section").querySelectorAll(".view");
    function show() {
      views.forEach(function (view, number) { view.hidden = String(number) !== select.value; });
    }
    select.addEventListener("change", show);
    show();  // a page that is gone back to keeps its choice
  });
  window.addEventListener("hashchange", function () { if (fromAddress()) apply(); });
  var filtered = fromAddress();
  apply();
  if (filtered) document.getElementById("errors").scrollIntoView();
})();
