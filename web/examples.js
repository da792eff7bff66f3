// SPDX-License-Identifier: Apache-2.0
// Rulebooks with facts to begin with; the tests evaluate each.
export const EXAMPLES = [
  { name: "Orders to hold", rules: `# A join, and a fact that a second rule goes on from.
facts:
  order:    {id: string, customer: string, amount: double}
  customer: {id: string, tier: string}
rules:
  - name: big order from a bronze customer
    when:
      - order as o: o.amount > 10000.0
      - customer as c: c.id == o.customer && c.tier == "bronze"
    then:
      - assert: review
        with: {order: "\${{ o.id }}", why: big order}
  - name: hold what is under review
    when:
      - review as r
      - order as o: o.id == r.order
    then:
      - emit: hold
        with: {order: "\${{ o.id }}", amount: "\${{ o.amount }}", because: "\${{ r.why }}"}
`, facts: `{"type": "order", "id": "o1", "customer": "c1", "amount": 25000}
{"type": "order", "id": "o2", "customer": "c2", "amount": 40000}
{"type": "order", "id": "o3", "customer": "c1", "amount": 90}
{"type": "customer", "id": "c1", "tier": "bronze"}
{"type": "customer", "id": "c2", "tier": "gold"}
` },
  { name: "What is not there", rules: `# \`not\` holds while no such fact exists.
rules:
  - name: nobody answered
    when:
      - question as q
      - not answer as a: a.to == q.id
    then:
      - emit: remind
        with: {question: "\${{ q.id }}"}
`, facts: `{"type": "question", "id": 1}
{"type": "question", "id": 2}
{"type": "answer", "to": 1}
` },
  { name: "Failed logins in a minute", rules: `# A window goes by the times of the facts.
facts:
  user:  {id: string, active: bool}
  login: {user: string, ok: bool, at: timestamp}
rules:
  - name: five failed logins in a minute
    when:
      - user as u: u.active
      - count() as n of login as l within 1m: l.user == u.id && !l.ok
      - test: n >= 5
    then:
      - modify: u
        with: {active: false}
      - emit: lockout
        with: {user: "\${{ u.id }}", failures: "\${{ n }}"}
`, facts: `{"type": "user", "id": "ada", "active": true}
{"type": "user", "id": "bob", "active": true}
{"type": "login", "user": "ada", "ok": false, "at": "2026-01-01T09:00:00Z"}
{"type": "login", "user": "ada", "ok": false, "at": "2026-01-01T09:00:10Z"}
{"type": "login", "user": "bob", "ok": false, "at": "2026-01-01T09:00:12Z"}
{"type": "login", "user": "ada", "ok": false, "at": "2026-01-01T09:00:20Z"}
{"type": "login", "user": "ada", "ok": false, "at": "2026-01-01T09:00:30Z"}
{"type": "login", "user": "ada", "ok": false, "at": "2026-01-01T09:00:40Z"}
` },
  { name: "How many, how slow", rules: `# Aggregates by groups.
rules:
  - name: traffic
    when:
      - count() as n, percentile(l.ms, 90) as slow by l.host as host of login as l
    then:
      - emit: traffic
        with: {host: "\${{ host }}", logins: "\${{ n }}", slow: "\${{ slow }}"}
`, facts: `{"type": "login", "host": "a", "ms": 5}
{"type": "login", "host": "b", "ms": 9}
{"type": "login", "host": "a", "ms": 31}
` },
  { name: "A price in steps", rules: `# What one rule sets, the next ones see; salience says which goes first.
facts:
  cart: {id: string, member: bool, total: double, discount: double}
rules:
  - name: members pay less
    salience: 20
    when:
      - cart as c: c.member && c.discount == 0.0
    then:
      - modify: c
        with: {discount: 0.1}
  - name: a large cart ships free
    salience: 10
    when:
      - cart as c: c.total * (1.0 - c.discount) >= 50.0
    then:
      - assert: shipping
        with: {cart: "\${{ c.id }}", cost: 0.0}
  - name: others pay for it
    when:
      - cart as c
      - not shipping as s: s.cart == c.id
    then:
      - assert: shipping
        with: {cart: "\${{ c.id }}", cost: 4.9}
  - name: what it comes to
    salience: -10
    when:
      - cart as c
      - shipping as s: s.cart == c.id
    then:
      - emit: price
        with: {cart: "\${{ c.id }}", pay: "\${{ c.total * (1.0 - c.discount) + s.cost }}"}
`, facts: `{"type": "cart", "id": "A", "member": true, "total": 80, "discount": 0}
{"type": "cart", "id": "B", "member": false, "total": 20, "discount": 0}
` },
  { name: "Only as long as its reason", rules: `# A logical fact goes when what it rests on goes.
rules:
  - name: smoke without a drill is an alarm
    when:
      - smoke as s
      - not drill as d: d.room == s.room
    then:
      - assert: alarm
        with: {room: "\${{ s.room }}"}
        logical: true
  - name: ring
    when:
      - alarm as a
    then:
      - emit: ring
        with: {room: "\${{ a.room }}"}
`, facts: `{"type": "smoke", "room": 1}
{"type": "smoke", "room": 2}
{"type": "drill", "room": 1}
` },
];
