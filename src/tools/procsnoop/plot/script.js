// Zoom, search, and labels that fit. Without it the picture is complete, too: labels then end at
// the edge of their bars. It knows nothing of the processes but what is in the picture.
(function () {
  "use strict";
  var SVG = "http://www.w3.org/2000/svg";
  var HTML = "http://www.w3.org/1999/xhtml";
  var LEFT = 0.5; // percent, as the picture was drawn
  var WIDE = 99;
  var PAD = 3; // pixels between the edge of a bar and its label
  var FEWEST = 3; // characters of a label
  var svg = document.currentScript.ownerSVGElement;
  var view = { from: LEFT, to: LEFT + WIDE };

  function all(selector) {
    return Array.prototype.slice.call(svg.querySelectorAll(selector));
  }
  function percent(element, name) {
    return parseFloat(element.getAttribute(name));
  }
  function make(space, name, parent) {
    return parent.appendChild(document.createElementNS(space, name));
  }

  // Labels from long to short; the last one is only what differs from others, or the number of many.
  function labels(group) {
    var long = group.getAttribute("data-l");
    var short = group.getAttribute("data-s") || long;
    return [long, short, group.getAttribute("data-n") || short.split(" … ").pop()];
  }

  // --- what moves: everything that stands at a time

  var bars = all(".b").map(function (group) {
    var rect = group.querySelector("rect");
    return {
      group: group,
      rects: Array.prototype.slice.call(group.querySelectorAll("rect")),
      box: group.querySelector("svg"),
      x: percent(rect, "x"),
      width: percent(rect, "width"),
      y: rect.getAttribute("y"),
      labels: labels(group),
      tip: group.querySelector("title").textContent.toLowerCase(),
      count: parseInt(group.getAttribute("data-n") || "1", 10)
    };
  });
  var strips = all(".p rect").map(function (rect) {
    return { rect: rect, x: percent(rect, "x"), width: percent(rect, "width") };
  });
  var links = all(".p line").map(function (line) {
    return { line: line, x: percent(line, "x1") };
  });

  // --- text

  var pen = document.createElementNS(HTML, "canvas").getContext("2d");
  var widths = {};
  function measure(text, font) {
    var key = font + text;
    if (!(key in widths)) {
      pen.font = font;
      widths[key] = pen.measureText(text).width;
    }
    return widths[key];
  }
  function fontOf(element) {
    var style = getComputedStyle(element);
    return style.fontWeight + " " + style.fontSize + " " + style.fontFamily;
  }
  var barFont = fontOf(svg);

  // The longest of the texts that fits, or a part of the last one; empty if that says nothing.
  function fit(texts, room, font) {
    for (var i = 0; i < texts.length; i++) {
      if (measure(texts[i], font) <= room) return texts[i];
    }
    var chars = Array.from(texts[texts.length - 1] || "");
    var least = 0;
    var most = chars.length;
    while (least < most) {
      var middle = (least + most + 1) >> 1;
      if (measure(chars.slice(0, middle).join("") + "…", font) <= room) least = middle;
      else most = middle - 1;
    }
    return least >= FEWEST ? chars.slice(0, least).join("") + "…" : "";
  }

  // --- placing

  function at(x) {
    return LEFT + ((x - view.from) * WIDE) / (view.to - view.from);
  }
  function span(x, width) {
    var left = Math.max(at(x), 0);
    var right = Math.min(at(x + width), 100);
    return right < left || left > 100 ? null : { x: left, width: right - left };
  }
  function show(element, isShown) {
    element.style.display = isShown ? "" : "none";
  }
  function move(element, place) {
    element.setAttribute("x", place.x + "%");
    element.setAttribute("width", place.width + "%");
  }

  function label(bar, place, pixels) {
    var room = (place.width / 100) * pixels - 2 * PAD;
    var text = room > 0 ? fit(bar.labels, room, barFont) : "";
    if (!bar.box) {
      if (!text) return;
      bar.box = make(SVG, "svg", bar.group);
      bar.box.setAttribute("y", bar.y);
      bar.box.setAttribute("height", 16);
      var added = make(SVG, "text", bar.box);
      added.setAttribute("x", PAD);
      added.setAttribute("y", 11.5);
    }
    show(bar.box, text);
    bar.box.querySelector("text").textContent = text;
    move(bar.box, place);
  }

  function place() {
    var pixels = svg.getBoundingClientRect().width;
    bars.forEach(function (bar) {
      var where = span(bar.x, bar.width);
      show(bar.group, where);
      if (!where) return;
      bar.rects.forEach(function (rect) { move(rect, where); });
      label(bar, where, pixels);
    });
    strips.forEach(function (strip) {
      var where = span(strip.x, strip.width);
      show(strip.rect, where);
      if (where) move(strip.rect, where);
    });
    links.forEach(function (link) {
      var x = at(link.x);
      show(link.line, x >= 0 && x <= 100);
      link.line.setAttribute("x1", x + "%");
      link.line.setAttribute("x2", x + "%");
    });
    grid(pixels);
    lines(pixels);
  }

  // Texts beside the bars.
  function lines(pixels) {
    all("[data-f]").forEach(function (text) {
      if (!text.full) text.full = text.textContent;
      var room = pixels - parseFloat(text.getAttribute("data-f"));
      text.textContent = fit([text.full], Math.max(room, 60), fontOf(text));
    });
  }

  var axis = svg.querySelector(".x");
  function grid(pixels) {
    var seconds = parseFloat(axis.getAttribute("data-seconds"));
    var height = axis.getAttribute("data-height");
    var shown = (seconds * (view.to - view.from)) / WIDE;
    var first = (seconds * (view.from - LEFT)) / WIDE;
    var step = Math.pow(10, Math.floor(Math.log10(shown)) - 1);
    var most = Math.max(pixels / 90, 2);
    [2, 2.5, 2, 2, 2.5, 2].forEach(function (factor) {
      if (shown / step > most) step *= factor;
    });
    var digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (/^2\.5/.test(step.toExponential()) ? 1 : 0));
    axis.textContent = "";
    for (var n = Math.ceil(first / step - 1e-9); n * step <= first + shown * 1.000001; n++) {
      var x = at(LEFT + (n * step * WIDE) / seconds);
      var line = make(SVG, "line", axis);
      line.setAttribute("class", "g");
      line.setAttribute("x1", x + "%");
      line.setAttribute("x2", x + "%");
      line.setAttribute("y1", axis.getAttribute("data-y"));
      line.setAttribute("y2", height);
      var text = (n * step).toFixed(digits) + " s";
      if ((x / 100) * pixels + measure(text, barFont) + PAD > pixels) continue;
      var time = make(SVG, "text", axis);
      time.setAttribute("class", "s");
      time.setAttribute("x", x + "%");
      time.setAttribute("y", axis.getAttribute("data-y"));
      time.textContent = text;
    }
  }

  // --- zoom

  var controls = make(SVG, "foreignObject", svg);
  controls.setAttribute("x", "100%");
  controls.setAttribute("y", 5);
  controls.setAttribute("width", 222);
  controls.setAttribute("height", 24);
  controls.setAttribute("transform", "translate(-230 0)");
  var search = make(HTML, "input", controls);
  search.type = "search";
  search.placeholder = "Search ( / )";
  search.setAttribute("aria-label", "Search commands");
  var whole = make(HTML, "button", controls);
  whole.textContent = "Whole time";
  show(whole, false);

  function zoom(from, to) {
    view = { from: from, to: to };
    show(whole, from !== LEFT || to !== LEFT + WIDE);
    place();
  }
  function zoomOut() {
    zoom(LEFT, LEFT + WIDE);
  }
  function zoomTo(bar) {
    var width = Math.max(bar.width, 1e-4);
    var margin = width / 50;
    zoom(Math.max(bar.x - margin, LEFT), Math.min(bar.x + width + margin, LEFT + WIDE));
  }
  whole.addEventListener("click", zoomOut);
  svg.addEventListener("click", function (event) {
    var group = event.target.closest(".b");
    var line = event.target.closest("[data-b]");
    bars.forEach(function (bar, number) {
      if (bar.group === group || (line && line.getAttribute("data-b") === String(number))) zoomTo(bar);
    });
  });

  // --- search

  var found = svg.querySelector(".o");
  found.style.display = "inline";
  function find() {
    var wanted = search.value.trim().toLowerCase();
    var count = 0;
    svg.classList.toggle("seek", wanted !== "");
    bars.forEach(function (bar) {
      var isHit = wanted !== "" && bar.tip.indexOf(wanted) >= 0;
      bar.group.classList.toggle("hit", isHit);
      if (isHit) count += bar.count;
    });
    found.textContent = wanted === "" ? "" : count + " found";
  }
  search.addEventListener("input", find);
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && event.target !== search) {
      search.focus();
      event.preventDefault();
    } else if (event.key === "Escape") {
      search.value = "";
      find();
      zoomOut();
    }
  });

  window.addEventListener("resize", place);
  place();
})();
