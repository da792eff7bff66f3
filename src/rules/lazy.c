/* SPDX-License-Identifier: Apache-2.0
 *
 * Lazy rules: what comes into a condition waits on the agenda as a place with its tick, and costs no more until its turn
 * comes. Then it must be told whether the fact is still there, and since when: by its serial, or by a stamp if a modify
 * brought it in.
 */
#include "rules/session.h"

fb_status fb_lazy_stamp(fb_session *session, uint32_t port, uint32_t row, uint64_t tick) {
  fb_port_memory *memory = &session->ports[port];
  const fb_allocator *allocator = &session->allocator;
  size_t page = row / FB_PORT_PAGE;
  if (page >= memory->page_count) {
    size_t count = memory->page_count * 2 > page + 1 ? memory->page_count * 2 : page + 1;
    uint64_t **pages = fb_resize(allocator, memory->pages, memory->page_count * sizeof *pages,
                                 count * sizeof *pages);
    if (!pages) return FB_E_NOMEM;
    memset(pages + memory->page_count, 0, (count - memory->page_count) * sizeof *pages);
    memory->pages = pages;
    memory->page_count = count;
  }
  uint64_t **at = &memory->pages[page];
  if (!*at && !(*at = fb_alloc_zero(allocator, FB_PORT_PAGE * sizeof **at))) return FB_E_NOMEM;
  (*at)[row % FB_PORT_PAGE] = tick;
  return FB_OK;
}

fb_status fb_lazy_modified(fb_session *session, const fb_fact *fact) {
  fb_memory *memory = &session->memories[fact->type];
  size_t word = fact->row / 64;
  session->agenda.doubtful = true;
  if (word >= memory->modified_words) {
    size_t words = memory->modified_words * 2 > word + 8 ? memory->modified_words * 2 : word + 8;
    uint64_t *bits = fb_resize(&session->allocator, memory->modified,
                               memory->modified_words * sizeof *bits, words * sizeof *bits);
    if (!bits) return FB_E_NOMEM;
    memset(bits + memory->modified_words, 0, (words - memory->modified_words) * sizeof *bits);
    memory->modified = bits;
    memory->modified_words = words;
  }
  memory->modified[word] |= UINT64_C(1) << fact->row % 64;
  return FB_OK;
}

bool fb_lazy_is_modified(const fb_session *session, const fb_fact *fact) {
  const fb_memory *memory = &session->memories[fact->type];
  size_t word = fact->row / 64;
  return word < memory->modified_words && (memory->modified[word] >> fact->row % 64 & 1);
}

/* A fact that is at the place now and was not modified came in with its serial. A later stamp, or a test that holds no
 * more, tells of one that was; where an alpha keeps its facts, it need not be tested. */
bool fb_lazy_stands(fb_session *session, const fb_waiting *item) {
  const fb_fact *fact = &session->facts[item->place];
  if (fact->row == FB_RULE_NONE) return false;
  uint64_t serial = fb_place_serial(session, item->place);
  if (serial > item->tick) return false;
  if (!fb_lazy_is_modified(session, fact)) return serial == item->tick;
  const fb_rule_use *use = &session->set->uses[item->use];
  const fb_rule_condition *c = &session->set->rules[use->rule].conditions[use->condition];
  if (fb_port_tick(session, c->port, item->place) != item->tick) return false;
  return session->set->alphas[c->alpha].stored
             ? fb_alpha_has(session, c->alpha, fact->row)
             : fb_alpha_test(session, c->alpha | FB_RULE_WHOLE, item->place);
}
