// Writes mustache.json: what mustache.js makes of templates, with the options LaunchDarkly's AI SDK for
// JavaScript passes to it (no partials, escape: item => item).
//
// To make it again (the same version gives the same file, byte for byte):
//
//     mkdir temporary && cd temporary && npm install mustache@4.2.0
//     cp <this folder>/make_mustache_vectors.mjs . && node make_mustache_vectors.mjs <this folder>/mustache.json
//
// Further arguments: the number of generated cases (600) and the seed (1), for a wider look without a commit.
//
// A case has "expected", or "error": "syntax" when the template cannot be parsed, or "rendering" when
// mustache.js fails on the data. Names that JavaScript inherits (constructor, toString, map) are left out:
// there our renderer differs on purpose.

import { writeFileSync } from 'node:fs';
import Mustache from 'mustache';

const CHOSEN = {
  text: [
    ['', {}],
    ['plain', {}],
    ['{', {}],
    ['}', {}],
    ['}}', {}],
    ['{ {x} }', { x: 1 }],
    ['{x}', { x: 1 }],
    ['$x ${x} %s {0}', { x: 1 }],
    ['a\nb\r\nc\rd\n', {}],
    ['  \n\t\n', {}],
    ['\\{{x}}', { x: 1 }],
    ['snowman ☃ 😀 é', {}],
  ],
  variables: [
    ['{{x}}', { x: 'v' }],
    ['{{ x }}', { x: 'v' }],
    ['{{\n x\t}}', { x: 'v' }],
    ['{{{x}}}', { x: '<b>&"\'/`=' }],
    ['{{&x}}', { x: '<b>&"\'' }],
    ['{{& x }}', { x: '<b>' }],
    ['{{ & x}}', { x: '<b>' }],
    ['{{x}}', { x: '<b>&"\'/`=' }],
    ['{{ { x } }}', { x: 'v' }],
    ['{{{ x }}}', { x: 'v' }],
    ['{{{x} }}', { x: 'v' }],
    ['{{{x}}}}', { x: 'v' }],
    ['{{{{x}}}}', { x: 'v' }],
    ['{{x}}}', { x: 'v' }],
    ['a{{x}}b{{x}}c', { x: '' }],
    ['{{missing}}', {}],
    ['[{{missing}}]', { other: 1 }],
    ['{{}}', { '': 'empty name' }],
    ['{{}}', {}],
    ['{{ }}', { '': 'empty name' }],
    ['{{{}}}', { '': 'empty name' }],
    ['{{a b}}', { 'a b': 'spaced', a: 1 }],
    ['{{a  b}}', { 'a b': 'spaced' }],
    ['{{X}}{{x}}', { x: 'lower' }],
    ['{{x}}', { x: '{{y}}', y: 'no' }],
    ['{{x}}}}', { x: '{{' }],
    ['{{é}}{{名}}{{😀}}', { é: 1, 名: 2, '😀': 3 }],
    ['{{x-y}}{{x_y}}{{x:y}}{{@x}}{{$x}}', { 'x-y': 1, x_y: 2, 'x:y': 3, '@x': 4, $x: 5 }],
    ['{{x|upper}}{{x y}}{{"x"}}', { x: 'v' }],
    ['{{*x}}{{?x}}{{+x}}', { x: 'v' }],
    ['{{x=1}}', { 'x=1': 'v' }],
    ['{{ldctx.key}} {{ldctx.name}}', { ldctx: { kind: 'user', key: 'k', name: 'Ada' } }],
    ['{{x{{y}}', { 'x{{y': 'odd' }],
    ['{{x\ny}}', { 'x\ny': 'odd' }],
  ],
  'as text': [
    ['{{x}}', { x: true }],
    ['{{x}}', { x: false }],
    ['{{x}}', { x: null }],
    ['{{x}}', { x: 0 }],
    ['{{x}}', { x: 1.0 }],
    ['{{x}}', { x: -1 }],
    ['{{x}}', { x: 0.1 }],
    ['{{x}}', { x: -0.5 }],
    ['{{x}}', { x: 1e20 }],
    ['{{x}}', { x: 1e21 }],
    ['{{x}}', { x: 1.5e21 }],
    ['{{x}}', { x: -1.5e300 }],
    ['{{x}}', { x: 123456789012345680000 }],
    ['{{x}}', { x: 0.0001 }],
    ['{{x}}', { x: 0.00001 }],
    ['{{x}}', { x: 0.0000123 }],
    ['{{x}}', { x: 0.000001 }],
    ['{{x}}', { x: -0.000001234 }],
    ['{{x}}', { x: 0.0000001 }],
    ['{{x}}', { x: 1.5e-7 }],
    ['{{x}}', { x: 5e-324 }],
    ['{{x}}', { x: 1.7976931348623157e308 }],
    ['{{x}}', { x: 9007199254740991 }],
    ['{{x}}', { x: 0.1 + 0.2 }],
    ['{{x}}', { x: 1 / 3 }],
    ['{{x}}', { x: 100 }],
    ['{{x}}', { x: 123456.789 }],
    ['{{x}}', { x: 4.35e-6 }],
    ['{{x}}', { x: [] }],
    ['{{x}}', { x: [1, 2, 3] }],
    ['{{x}}', { x: ['a', null, true, false, 1.5, ''] }],
    ['{{x}}', { x: [[1, [2, 3]], [], [[]], [[], []], 4] }],
    ['{{x}}', { x: [{ a: 1 }, [{}]] }],
    ['{{x}}', { x: [null] }],
    ['{{x}}', { x: [null, null] }],
    ['{{x}}', { x: [[null], [null, [null]]] }],
    ['{{x}}', { x: {} }],
    ['{{x}}', { x: { a: 1 } }],
    ['{{{x}}}{{&x}}', { x: { a: 1 } }],
    ['{{.}}', { x: 1 }],
    ['{{x}}', { x: { toString: 'not a function', valueOf: 1 } }],
  ],
  truth: [
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: true }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: false }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: null }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', {}],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: 0 }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: 0.0001 }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: -1 }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: '' }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: '0' }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: 'false' }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: ' ' }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: [] }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: [0] }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: [[]] }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: [false, null, ''] }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: {} }],
    ['{{#x}}yes{{/x}}{{^x}}no{{/x}}', { x: { a: 1 } }],
  ],
  sections: [
    ['{{#x}}{{a}}{{/x}}', { x: { a: 'in' }, a: 'out' }],
    ['{{#x}}{{a}}{{/x}}', { x: {}, a: 'out' }],
    ['{{#x}}{{a}}{{/x}}', { x: true, a: 'out' }],
    ['{{#x}}{{a}}{{/x}}', { x: 'text', a: 'out' }],
    ['{{#x}}{{a}}{{/x}}', { x: 5, a: 'out' }],
    ['{{#x}}{{a}},{{/x}}', { x: [{ a: 1 }, { a: 2 }, {}], a: 'out' }],
    ['{{#x}}{{a}},{{/x}}', { x: [1, 'two', true, 3.5], a: 'out' }],
    ['{{#x}}{{a}},{{/x}}', { x: [null], a: 'out' }],
    ['{{#x}}{{a.b}},{{/x}}', { x: [null], a: { b: 'out' } }],
    ['{{#x}}{{.}},{{/x}}', { x: [1, 'two', true, false, null, 3.5, '', [4, 5], {}] }],
    ['{{#x}}{{{.}}}{{&.}}{{ . }}{{/x}}', { x: ['<'] }],
    ['{{#x}}{{#.}}{{.}};{{/.}}|{{/x}}', { x: [[1, 2], [], [3, [4, 5]]] }],
    ['{{#x}}{{^.}}none{{/.}}{{/x}}', { x: [[], 0, '', false, null, 1] }],
    ['{{#.}}{{a}}{{/.}}', { a: 1 }],
    ['{{^.}}{{a}}{{/.}}', { a: 1 }],
    ['{{#x}}{{.}}{{/x}}', { x: 'text' }],
    ['{{#x}}{{.}}{{/x}}', { x: 42 }],
    ['{{#x}}{{.}}{{/x}}', { x: true }],
    ['{{^x}}{{.}}{{/x}}', { x: false }],
    ['{{#a}}{{#b}}{{x}}{{y}}{{z}}{{/b}}{{/a}}', { a: { x: 1, b: { y: 2 } }, z: 3 }],
    ['{{#a}}{{#b}}{{c}}{{/b}}{{/a}}', { a: [{ b: [1, 2] }, { b: false }, {}], b: true, c: 'c' }],
    ['{{#a}}{{a}}{{/a}}', { a: { a: { a: 1 } } }],
    ['{{#a}}{{#a}}{{#a}}{{.}}{{/a}}{{/a}}{{/a}}', { a: [1, 2] }],
    ['{{#a}}1{{/a}}{{#a}}2{{/a}}', { a: true }],
    ['{{^a}}{{^b}}neither{{/b}}{{/a}}', {}],
    ['{{#a}}{{/a}}', { a: [1, 2, 3] }],
    ['{{# a }}x{{/ a }}', { a: 1 }],
    ['{{#a b}}x{{/a b}}', { 'a b': 1 }],
    ['{{ #a }}x{{ /a }}', { a: 1 }],
    ['{{^a}}x{{/a}}', { a: 1 }],
    ['{{#a.b}}{{c}}{{/a.b}}', { a: { b: { c: 'c' } } }],
    ['{{#a.b}}{{.}}{{/a.b}}{{^a.c}}none{{/a.c}}', { a: { b: [1, 2] } }],
    ['{{#items}}- {{name}}: {{price}}\n{{/items}}', { items: [{ name: 'a', price: 1.5 }, { name: 'b', price: 2 }] }],
    ['{{#}}x{{/}}', { '': 1 }],
  ],
  lookup: [
    ['{{a.b}}', { a: { b: 1 } }],
    ['{{a.b.c.d}}', { a: { b: { c: { d: 'deep' } } } }],
    ['{{a.b}}', { a: {} }],
    ['{{a.b}}', {}],
    ['{{a.b}}', { a: null }],
    ['{{a.b}}', { a: { b: null } }],
    ['{{a.b.c}}', { a: { b: null } }],
    ['{{a.b}}', { a: 'text' }],
    ['{{a.b}}', { a: 5 }],
    ['{{a.b}}', { 'a.b': 'never found' }],
    ['{{a.b}}', { 'a.b': 'never found', a: { b: 'found' } }],
    ['{{.a}}', { a: 1 }],
    ['{{.a}}', { '.a': 'odd' }],
    ['{{.a.b}}', { '.a.b': 'odd', '.a': { b: 'no' } }],
    ['{{a.}}', { a: { '': 'odd' } }],
    ['{{a..b}}', { a: { '': { b: 'odd' } } }],
    ['{{..}}', { '..': 'odd' }],
    ['{{a.b}}{{a . b}}', { a: { b: 1, ' b': 2 }, 'a ': { ' b': 3 } }],
    ['{{items.0}}{{items.1}}{{items.2}}', { items: ['a', 'b'] }],
    ['{{items.0.name}}', { items: [{ name: 'first' }] }],
    ['{{items.00}}{{items.01}}{{items.-1}}{{items.+1}}{{items.1e0}}{{items. 1}}', { items: [1, 2] }],
    ['{{items.99999999999999999999}}', { items: [1, 2] }],
    ['{{items.٠}}', { items: [1, 2] }],
    ['{{items.length}}', { items: [1, 2, 3] }],
    ['{{items.length}}', { items: [] }],
    ['{{#items.length}}some{{/items.length}}{{^items.length}}none{{/items.length}}', { items: [] }],
    ['{{items.length.x}}', { items: [1] }],
    ['{{a.length}}', { a: 'text' }],
    ['{{a.length}}', { a: '' }],
    ['{{a.length}}', { a: 'é😀' }],
    ['{{a.length}}', { a: { length: 'own' } }],
    ['{{a.length}}', { a: {} }],
    ['{{a.length}}', { a: 7 }],
    ['{{a.0}}{{a.3}}{{a.4}}', { a: 'text' }],
    ['{{a.0.0.length}}', { a: 'text' }],
    ['{{a.2}}', { a: 'é☃z' }],
    ['{{a.0.b}}', { a: 'text' }],
    ['{{#length}}{{length}}{{/length}}', { length: '100 yards' }],
    ['{{#a}}{{length}}{{/a}}', { a: 'text', length: 'outer' }],
    ['{{#a}}{{0}}{{/a}}', { a: 'text', 0: 'outer' }],
    ['{{#a}}{{0.length}}{{/a}}', { a: 'text' }],
    ['{{#a}}{{length}}-{{0}}-{{2}};{{/a}}', { a: [[1, 2], [3]], 2: 'outer' }],
    ['{{0}}', { 0: 'zero' }],
    ['{{#a}}{{b.c}}{{/a}}', { a: { b: {} }, b: { c: 'outer' } }],
    ['{{#a}}{{b.c}}{{/a}}', { a: { b: { c: null } }, b: { c: 'outer' } }],
    ['{{#a}}{{b.c}}{{/a}}', { a: { b: null }, b: { c: 'outer' } }],
    ['{{#a}}{{b.c}}{{/a}}', { a: { b: 'text' }, b: { c: 'outer' } }],
    ['{{#a}}{{b.9}}{{/a}}', { a: { b: 'text' }, b: { 9: 'outer' } }],
    ['{{#a}}{{b.9}}{{/a}}', { a: { b: [1] }, b: { 9: 'outer' } }],
    ['{{#a}}{{b.length}}{{/a}}', { a: { b: 'text' }, b: [1] }],
    ['{{#a}}{{b}}{{/a}}', { a: { b: null }, b: 'outer' }],
    ['{{#a}}{{b}}{{/a}}', { a: { b: false }, b: 'outer' }],
    ['{{#a}}{{#b}}x{{/b}}{{^b}}y{{/b}}{{/a}}', { a: { b: null }, b: true }],
    ['{{#a}}{{a.b}}{{/a}}', { a: { b: 1 } }],
    ['{{#a}}{{.}} {{.length}}{{/a}}', { a: ['x'] }],
  ],
  standalone: [
    ['a\n{{#x}}\nb\n{{/x}}\nc', { x: true }],
    ['a\n{{#x}}\nb\n{{/x}}\nc', { x: false }],
    ['a\r\n{{#x}}\r\nb\r\n{{/x}}\r\nc', { x: true }],
    ['a\n  {{#x}}  \nb\n\t{{/x}}\t\nc', { x: true }],
    ['{{#x}}\nb\n{{/x}}', { x: true }],
    ['  {{#x}}\nb\n  {{/x}}', { x: true }],
    ['{{#x}} {{/x}}\n', { x: true }],
    [' {{#x}} {{/x}} \n', { x: true }],
    [' {{#x}}b{{/x}} \n', { x: true }],
    [' {{#x}} {{y}} {{/x}} \n', { x: true, y: '' }],
    [' {{#x}} \n {{y}} \n {{/x}} \n', { x: [1, 2], y: 'y' }],
    ['a\n {{! comment }} \nb', {}],
    ['a {{! comment }} \nb', {}],
    ['a\n {{! two\nlines }} \nb', {}],
    ['{{!}}\n', {}],
    ['{{! }} {{! }}\n\n', {}],
    ['a\n {{=<% %>=}} \n<%x%>', { x: 1 }],
    ['a\n {{> part }} \nb', {}],
    ['a {{>part}} b', {}],
    ['{{>part}}', { part: 'no' }],
    ['a\n {{x}} \nb', { x: '' }],
    ['a\n {{{x}}} \nb', { x: '' }],
    ['a\n {{&x}} \nb', { x: '' }],
    ['{{#x}}\n{{#y}}\n{{/y}}\n{{/x}}\nend', { x: true, y: true }],
    ['{{#x}}{{#y}}\na\n{{/y}}{{/x}}\nend', { x: true, y: true }],
    ['a\n\n{{#x}}\n\nb\n\n{{/x}}\n\nc', { x: true }],
    ['a\r{{#x}}\rb{{/x}}', { x: true }],
    ['a\u2028{{#x}}\u2028b{{/x}}', { x: true }],
    ['\u00a0{{#x}}\ufeff\nb{{/x}}', { x: true }],
    ['\u3000{{#x}}\u2003\v\f\nb{{/x}}', { x: true }],
    ['\u0085{{#x}}\nb{{/x}}', { x: true }],
    ['\u001c{{#x}}\nb{{/x}}', { x: true }],
    ['\u200b{{#x}}\nb{{/x}}', { x: true }],
    ['{{^x}}\nnone\n{{/x}}\n', {}],
    ['{{#x\n}}\nb\n{{/x\n}}\n', { x: true }],
    ['  {{#x}}\n{{/x}}{{y}}\n', { x: true, y: 1 }],
    [' {{/x}}', { x: true }],
    [' {{#x}}\n\n\n{{/x}} ', { x: [1, 2] }],
    ['| {{#x}} \n | {{/x}} |', { x: true }],
    ['\n{{#x}}\n', { x: true }],
  ],
  delimiters: [
    ['{{=<% %>=}}<%x%>{{x}}', { x: 1 }],
    ['{{=<% %>=}}<%x%><%={{ }}=%>{{x}}<%x%>', { x: 1 }],
    ['{{= | | =}}|x|{{x}}', { x: 1 }],
    ['{{=[ ]=}}[x][#y]in[/y][&x][{x}]', { x: 1, y: true }],
    ['{{=$ ^=}}$x^', { x: 1 }],
    ['{{=( )=}}(x)', { x: 1 }],
    ['{{=.* *.=}}.*x*.', { x: 1 }],
    ['{{=\\ /=}}\\x/', { x: 1 }],
    ['{{#x}}{{=<% %>=}}<%y%><%/x%><%y%>', { x: { y: 1 }, y: 2 }],
    ['{{=<% %> more=}}<%x%>', { x: 1 }],
    ['{{=<% %>= skipped }}<%x%>', { x: 1 }],
    ['{{=  <%\n%>  =  }}<%x%>', { x: 1 }],
    ['{{=<% %>}} a = b}}<%x%>', { x: 1 }],
    ['{{=<% %>}} a = b}}<%x%>}}', { x: 1 }],
    ['{{=<# #>=}}<##><#x#>', { x: 1, '': 'empty' }],
    ['{{=<{ }>=}}<{x}><{{x}}>', { x: 1 }],
    ['{{==}}', {}],
    ['{{= =}}', {}],
    ['{{=a=}}', {}],
    ['{{=a b}}', {}],
    ['{{=a b=', {}],
    ['{{=😀 ☃=}}😀x☃', { x: 1 }],
    ['{{=@ @=}}@x@ a@b.c @', { x: 1 }],
    ['{{=a A=}}axA bxb', { x: 1 }],
  ],
  errors: [
    ['{{', {}],
    ['{{x', { x: 1 }],
    ['{{x}', { x: 1 }],
    ['{{{x}}', { x: 1 }],
    ['{{{x}} }', { x: 1 }],
    ['{{ ', {}],
    ['a {{! never', {}],
    ['{{#', {}],
    ['{{#x', {}],
    ['{{#x}}', { x: 1 }],
    ['{{^x}}', { x: 1 }],
    ['{{/x}}', { x: 1 }],
    ['{{#x}}{{/y}}', { x: 1 }],
    ['{{#x}}{{#y}}{{/x}}{{/y}}', { x: 1, y: 1 }],
    ['{{#x}}{{/x}}{{/x}}', { x: 1 }],
    ['{{#x}}{{#x}}{{/x}}', { x: 1 }],
    ['{{#a b}}{{/a  b}}', {}],
    ['{{=<% %>=}}{{#x}}<%/x%>', { x: 1 }],
    ['{{=<% %>=}}<%x}}', { x: 1 }],
    ['{{#x}}{{#y}}{{/y}}', {}],
    ['{{x}} {{#y}} {{z', {}],
    ['{{&x', {}],
    ['{{>x', {}],
  ],
};

function random(seed) {
  // mulberry32
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function makeGenerator(seed) {
  const next = random(seed);
  const below = (bound) => Math.floor(next() * bound);
  const pick = (choices) => choices[below(choices.length)];

  const NAMES = ['a', 'b', 'c', 'a.b', 'b.c', 'a.b.c', 'b.0', 'c.length', 'a.0.b', 'length', '0', '.', '', 'no', '.a', 'a.'];
  const TEXTS = ['x', ' ', '  ', '\n', '\r\n', '\t', ' \n', '\n ', 'y z', '}', '{', '}}', '=', '☃', '😀', '\u00a0', '<&>'];
  const NUMBERS = [0, 1, -1, 1.5, 1e21, 1e-7, 0.1, 123456789, 2.5e-5];
  const STRINGS = ['', 'text', '0', '{{a}}', '<b>', 'é', '☃\n', ' '];

  const value = (depth) => {
    const roll = below(depth > 0 ? 10 : 7);
    if (roll < 2) return pick(STRINGS);
    if (roll < 4) return pick(NUMBERS);
    if (roll < 6) return next() < 0.5;
    if (roll < 7) return null;
    if (roll < 8) return Array.from({ length: below(4) }, () => value(depth - 1));
    return data(depth - 1);
  };
  const data = (depth) => {
    const made = {};
    for (const name of ['a', 'b', 'c', 'length', '', '0']) if (next() < 0.5) made[name] = value(depth);
    return made;
  };
  const space = () => (next() < 0.2 ? pick([' ', '\n', '\t ']) : '');

  const part = (depth, tags) => {
    const [open, close] = tags;
    const name = pick(NAMES);
    const roll = below(20);
    if (roll < 7) return pick(TEXTS);
    if (roll < 11) return `${open}${space()}${name}${space()}${close}`;
    if (roll < 12) return `${open}{${space()}${name}${space()}}${close}`;
    if (roll < 13) return `${open}&${space()}${name}${close}`;
    if (roll < 14) return `${open}!${pick(TEXTS)}${close}`;
    if (roll < 15) return `${open}>${name}${close}`;
    if (roll < 16) {
      const changed = pick([['{{', '}}'], ['<%', '%>'], ['|', '|'], ['[', ']]']]);
      const tag = `${open}=${space()}${changed.join(pick([' ', '  ', '\n']))}${space()}=${close}`;
      tags.splice(0, 2, ...changed);
      return tag;
    }
    if (depth === 0) return pick(TEXTS);
    const lines = pick(['', '', '\n', ' \n']);
    const start = `${lines && pick(['', ' '])}${open}${pick('##^')}${space()}${name}${close}${lines}`;
    const body = parts(depth - 1, tags);
    return `${start}${body}${lines && pick(['', '\t'])}${tags[0]}/${space()}${name}${tags[1]}${lines}`;
  };
  const parts = (depth, tags) => Array.from({ length: below(6) }, () => part(depth, tags)).join('');
  const broken = (template) => {
    const at = below(template.length + 1);
    return template.slice(0, at) + pick(['', '{{', '}}', '{{/a}}', '{{#b}}', '=', '\n', '{']) + template.slice(at + below(3));
  };

  return () => {
    const template = parts(3, ['{{', '}}']);
    return [next() < 0.15 ? broken(template) : template, data(3)];
  };
}

function outcome(template, data) {
  try {
    Mustache.parse(template);
  } catch {
    return { error: 'syntax' };
  }
  try {
    return { expected: Mustache.render(template, data, undefined, { escape: (item) => item }) };
  } catch {
    return { error: 'rendering' };
  }
}

const [path = 'mustache.json', count = '600', seed = '1'] = process.argv.slice(2);
const generate = makeGenerator(Number(seed));
const cases = Object.entries(CHOSEN).flatMap(([group, pairs]) => pairs.map(([template, data]) => ({ group, template, data })));
const seen = new Set(cases.map((one) => JSON.stringify([one.template, one.data])));
for (let made = 0; made < Number(count); ) {
  const [template, data] = generate();
  const key = JSON.stringify([template, data]);
  if (template.length < 4 || seen.has(key)) continue;
  seen.add(key);
  cases.push({ group: 'generated', template, data });
  made += 1;
}

const lines = cases.map((one) => JSON.stringify({ ...one, ...outcome(one.template, one.data) }));
writeFileSync(path, `{"mustache": ${JSON.stringify(Mustache.version)}, "cases": [\n${lines.join(',\n')}\n]}\n`);
console.log(`${cases.length} cases in ${path}`);
