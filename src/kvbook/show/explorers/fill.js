const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);  // fields have names
