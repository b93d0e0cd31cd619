// What the tests ask a page. Each function returns a list of what is wrong.
var page = {
  all: function (selector) {
    return Array.prototype.slice.call(document.querySelectorAll(selector));
  },

  isShown: function (element) {
    for (var e = element; e && e.nodeType === 1; e = e.parentNode) {
      if (getComputedStyle(e).display === "none") return false;
    }
    return true;
  },

  shownTexts: function () {
    return page.all("text").filter(function (text) {
      return text.textContent && page.isShown(text);
    });
  },

  bar: function (label) {
    return page.all(".b").filter(function (bar) { return bar.getAttribute("data-l") === label; })[0];
  },

  labels: function () {
    return page.all(".b text").filter(function (text) {
      return text.textContent && page.isShown(text);
    });
  },

  // Labels that are not within their bars.
  overflowing: function () {
    return page.labels().filter(function (text) {
      var bar = text.closest(".b").querySelector("rect").getBoundingClientRect();
      var own = text.getBoundingClientRect();
      return own.right > bar.right + 0.5 || own.left < bar.left - 0.5 ||
        own.bottom > bar.bottom + 2 || own.top < bar.top - 2;
    }).map(function (text) { return text.textContent; });
  },

  // Texts that are not within the window, or on each other.
  colliding: function () {
    var wrong = [];
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
    var texts = page.shownTexts();
    var boxes = texts.map(function (text) { return text.getBoundingClientRect(); });
    var controls = page.all("foreignObject *").filter(page.isShown);
    boxes = boxes.concat(controls.map(function (e) { return e.getBoundingClientRect(); }));
    var names = texts.concat(controls).map(function (e) { return e.textContent || e.nodeName; });
    boxes.forEach(function (box, i) {
      if (box.right > innerWidth + 0.5 || box.left < -0.5) wrong.push(names[i] + ": outside");
      for (var j = 0; j < i; j++) {
        var other = boxes[j];
        // Boxes of text are a little higher than what is drawn.
        if (box.left < other.right && other.left < box.right &&
            box.top + 2 < other.bottom - 2 && other.top + 2 < box.bottom - 2) {
          wrong.push(names[i] + " on " + names[j]);
        }
      }
    });
    return wrong;
  },

  luminance: function (color) {
    var parts = color.match(/[\d.]+/g).slice(0, 3).map(function (part) {
      var c = part / 255;
      return c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4);
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  },

  contrast: function (one, other) {
    var a = page.luminance(one), b = page.luminance(other);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  },

  // Texts that cannot be read well before what is behind them.
  pale: function () {
    var ground = getComputedStyle(document.querySelector(".bg")).fill;
    var wrong = [];
    page.shownTexts().forEach(function (text) {
      var bar = text.closest(".b");
      var behind = bar ? Array.prototype.slice.call(bar.querySelectorAll("rect")).map(function (rect) {
        return getComputedStyle(rect).fill;
      }) : [ground];
      behind.forEach(function (fill) {
        var ratio = page.contrast(getComputedStyle(text).fill, fill);
        if (ratio < 4.5) wrong.push(text.textContent + ": " + ratio.toFixed(2) + " on " + fill);
      });
    });
    // What is no text must be seen, too.
    page.all("rect.k").concat(page.all(".b rect.c")).forEach(function (rect) {
      var fill = getComputedStyle(rect).fill;
      var under = rect.classList.contains("c") ? getComputedStyle(rect.parentNode.querySelector("rect")).fill : ground;
      var least = rect.classList.contains("c") ? 1.3 : 3;
      if (page.contrast(fill, under) < least) wrong.push(rect.getAttribute("class") + ": " + fill + " on " + under);
    });
    return wrong;
  },

  // The share of the window that a bar takes.
  share: function (bar) {
    return bar.querySelector("rect").getBoundingClientRect().width / innerWidth;
  },

  // Times of the axis, in seconds.
  times: function () {
    return page.all(".x text").map(function (text) { return parseFloat(text.textContent); });
  },

  // Places of all bars.
  places: function () {
    return page.all(".b").filter(page.isShown).map(function (bar) {
      var box = bar.querySelector("rect").getBoundingClientRect();
      return [Math.round(box.left * 10), Math.round(box.width * 10), Math.round(box.top + scrollY)];
    });
  },

  hits: function () {
    return page.all(".hit title").map(function (title) { return title.textContent; });
  },

  // How many colours a picture has, and how bright it is, from 0 to 255.
  pixels: function (png) {
    return new Promise(function (resolve, reject) {
      var image = new Image();
      image.onerror = function () { reject(new Error("no picture")); };
      image.onload = function () {
        var canvas = document.createElementNS("http://www.w3.org/1999/xhtml", "canvas");
        canvas.width = image.width;
        canvas.height = image.height;
        var pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        var data = pen.getImageData(0, 0, image.width, image.height).data;
        var colours = {}, sum = 0;
        for (var i = 0; i < data.length; i += 4) {
          colours[(data[i] << 16) | (data[i + 1] << 8) | data[i + 2]] = true;
          sum += (data[i] + data[i + 1] + data[i + 2]) / 3;
        }
        resolve({ width: image.width, colours: Object.keys(colours).length, bright: sum / (data.length / 4) });
      };
      image.src = "data:image/png;base64," + png;
    });
  }
};
