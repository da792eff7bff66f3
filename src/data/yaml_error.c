/* SPDX-License-Identifier: Apache-2.0
 * libfyaml's messages in our words, with what to do about them. */
#include "data/doc.h"

typedef struct S_entry {
  const char *part; /* of the parser's message */
  fb_status code;
  const char *text, *hint;
} S_entry;

#define ALIGN "is this line indented like its neighbours? is a `:` or a quote missing before it?"

#define QUOTES "in single quotes write a quote twice, in double quotes with a backslash before it"

static const S_entry S_entries[] = {
    {"nested block mapping on the same line", FB_E_YAML_SYNTAX, "a second `: ` on one line",
     "quote the whole text if the colon belongs to it"},
    {"invalid mapping in plain multiline", FB_E_YAML_SYNTAX, "a `: ` in text of several lines",
     ALIGN},
    {"flow sequence with invalid extra closing", FB_E_YAML_SYNTAX, "this `]` closes nothing", NULL},
    {"flow mapping with invalid extra closing", FB_E_YAML_SYNTAX, "this `}` closes nothing", NULL},
    {"missing comma", FB_E_YAML_SYNTAX, "a comma is missing before this", NULL},
    {"without closing quote", FB_E_YAML_SYNTAX, "this quote is never closed", QUOTES},
    {"tab character may not be used", FB_E_YAML_SYNTAX, "a tab is used as indentation",
     "indent with blanks"},
    {"invalid tab as indendation", FB_E_YAML_SYNTAX, "a tab is used as indentation",
     "indent with blanks"},
    {"tab for indentation", FB_E_YAML_SYNTAX, "a tab is used as indentation", "indent with blanks"},
    {"tab character as indent", FB_E_YAML_SYNTAX, "a tab is used as indentation",
     "indent with blanks"},
    {"invalid trailing content after", FB_E_YAML_SYNTAX, "text after the closing quote",
     "a quote at the start encloses the whole text: put the whole text in quotes, or none of it"},
    {"mismatched flow", FB_E_YAML_SYNTAX, "this closes another kind of bracket than is open", NULL},
    {"block sequence on the same line", FB_E_YAML_SYNTAX, "a list in the line of its key",
     "begin the list on its own line, or write `[a, b]`; quote text that begins with `- `"},
    {"extra comma", FB_E_YAML_SYNTAX, "a comma with nothing before it", NULL},
    {"comma in the beginning", FB_E_YAML_SYNTAX, "a comma with nothing before it", NULL},
    {"no linebreak found", FB_E_YAML_SYNTAX, "text in the line of `|` or `>`",
     "the text begins on the next line; quote text that begins with `|` or `>`"},
    {"invalid UTF8 escape", FB_E_YAML_SYNTAX, "an escape that is no character",
     "write characters above U+FFFF as \\UNNNNNNNN, or as they are"},
    {"directives without content", FB_E_YAML_SYNTAX, "a `%` line without a document after it",
     "quote text that begins with `%`"},
    {"after document end marker", FB_E_DOC_MANY, "text after `...`, which ends the document", NULL},
    {"marker in double-quoted", FB_E_YAML_SYNTAX,
     "the quoted text runs into the end of the document", QUOTES},
    {"marker in single-quoted", FB_E_YAML_SYNTAX,
     "the quoted text runs into the end of the document", QUOTES},
    {"comment without whitespace", FB_E_YAML_SYNTAX, "a `#` without a blank before it",
     "put a blank before a comment"},
    {"invalid multiline plain key", FB_E_YAML_SYNTAX,
     "this text goes on in the next line, and there a `: ` follows",
     "a key begins in the same column as the keys beside it; quote text that contains `: `"},
    {"did not find expected node content", FB_E_YAML_SYNTAX, "a value is missing before this",
     "write `null` for an empty item, or indent the list further than its key"},
    {"invalid alias", FB_E_YAML_SYNTAX, "`*` begins an alias, and no name follows",
     "quote text that begins with `*`"},
    {"invalid anchor", FB_E_YAML_SYNTAX, "`&` begins an anchor, and no name follows",
     "quote text that begins with `&`"},
    {"plain scalar cannot start", FB_E_YAML_SYNTAX, "text may not begin with this character",
     "quote the text"},
    {"end of block sequence", FB_E_YAML_SYNTAX, "the list has ended, or a `- ` is missing", ALIGN},
    {"did not find expected '-'", FB_E_YAML_SYNTAX, "the list has ended, or a `- ` is missing",
     ALIGN},
    {"did not find expected key", FB_E_YAML_SYNTAX, "a key was expected here", ALIGN},
    {"could not find expected ':'", FB_E_YAML_SYNTAX, "a key without a `:`", ALIGN},
    {"invalid value after mapping", FB_E_YAML_SYNTAX, "this does not belong to the map above",
     ALIGN},
    {"invalid indentation in mapping", FB_E_YAML_SYNTAX, "the indentation fits nothing above",
     ALIGN},
    {"wrong indendation in sequence", FB_E_YAML_SYNTAX, "the indentation fits nothing above",
     ALIGN},
    {"wrongly indented double-quoted", FB_E_YAML_SYNTAX,
     "this quote is not closed, or a line of the text is not indented", QUOTES},
    {"wrongly indented single-quoted", FB_E_YAML_SYNTAX,
     "this quote is not closed, or a line of the text is not indented", QUOTES},
    {"wrongly indented", FB_E_YAML_SYNTAX, "this must be indented further than what it belongs to",
     NULL},
    {"undefined tag prefix", FB_E_DOC_TAG, "unknown tag",
     "known are !!str !!int !!float !!bool !!null !!seq !!map; quote text that begins with `!`"},
    {"invalid escape", FB_E_YAML_SYNTAX, "an unknown escape in double quotes",
     "write a backslash as `\\\\`, or use single quotes"},
    {"invalid hex escape", FB_E_YAML_SYNTAX, "an escape without its hexadecimal digits",
     "\\xNN, \\uNNNN or \\UNNNNNNNN; write a backslash as `\\\\`"},
    {"missing document start", FB_E_YAML_SYNTAX, "text after the end of the document", ALIGN},
    {"two anchors", FB_E_YAML_SYNTAX, "two anchors at one node", NULL},
};

fb_yaml_complaint fb_yaml_explain(const char *message) {
  for (size_t i = 0; i < sizeof S_entries / sizeof *S_entries; i++)
    if (strstr(message, S_entries[i].part))
      return (fb_yaml_complaint){S_entries[i].code, S_entries[i].text, S_entries[i].hint};
  return (fb_yaml_complaint){FB_E_YAML_SYNTAX, NULL, NULL};
}
