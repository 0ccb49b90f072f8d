-- Database "till": orders, payments, receipts, and the kitchen's tickets.
-- May be run again at any time. Run it as the role that owns the objects.

-- Receipts -------------------------------------------------------------------
--
-- The schema itself keeps the receipts of a register gapless and chained:
--   * one number once:        the primary key;
--   * no gap:                 a receipt refers to the one before it, which must exist;
--   * chained:                the reference includes the hash of the one before;
--   * nothing altered:        the hash is checked against the content of the row;
--   * nothing taken off the end: registers refers to the last receipt.
-- Keys are unique per payment (see payments); here they are not, so that a
-- doubled write would be seen and not hidden.

-- The result depends on nothing but the arguments (UTF8 is named, the epoch has
-- no time zone), so it is immutable although convert_to and extract aren't marked so.
CREATE OR REPLACE FUNCTION receipt_hash(
    previous_hash bytea, register int, number bigint, key text, total_cents bigint, lines jsonb, issued_at timestamptz
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(previous_hash || convert_to(
        register::text || '|' || number::text || '|' || key || '|' || total_cents::text || '|'
        || lines::text || '|' || extract(epoch FROM issued_at)::text, 'UTF8'))
$$;

-- The first receipt of a register has no predecessor: it is chained to 32 zero bytes.
CREATE TABLE IF NOT EXISTS receipts (
    register      int         NOT NULL,
    number        bigint      NOT NULL CHECK (number >= 1),
    previous      bigint      CHECK (previous IS NOT DISTINCT FROM nullif(number - 1, 0)),
    previous_hash bytea       NOT NULL CHECK (number > 1 OR previous_hash = decode(repeat('00', 32), 'hex')),
    hash          bytea       NOT NULL,
    key           text        NOT NULL,
    total_cents   bigint      NOT NULL CHECK (total_cents > 0),
    lines         jsonb       NOT NULL,
    issued_at     timestamptz NOT NULL,
    PRIMARY KEY (register, number),
    UNIQUE (register, number, hash),
    CONSTRAINT receipts_untampered
        CHECK (hash = receipt_hash(previous_hash, register, number, key, total_cents, lines, issued_at)),
    CONSTRAINT receipts_chained
        FOREIGN KEY (register, previous, previous_hash) REFERENCES receipts (register, number, hash)
);

-- One row per register; locked by whoever issues its next receipt.
CREATE TABLE IF NOT EXISTS registers (
    register  int PRIMARY KEY CHECK (register BETWEEN 1 AND 999),
    last      bigint,
    last_hash bytea,
    CHECK ((last IS NULL) = (last_hash IS NULL)),
    CONSTRAINT registers_last
        FOREIGN KEY (register, last, last_hash) REFERENCES receipts (register, number, hash)
        DEFERRABLE INITIALLY DEFERRED
) WITH (fillfactor = 50); -- room for updates in place: this row changes with every receipt

INSERT INTO registers (register) SELECT generate_series(1, 20) ON CONFLICT DO NOTHING;

-- A receipt takes its register one number further, or is refused.
CREATE OR REPLACE FUNCTION advance_register() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registers SET last = NEW.number, last_hash = NEW.hash
    WHERE register = NEW.register AND last IS NOT DISTINCT FROM NEW.previous;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'receipt % is not the next of register %', NEW.number, NEW.register
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER advance_register AFTER INSERT ON receipts
    FOR EACH ROW EXECUTE FUNCTION advance_register();

-- Payments and orders --------------------------------------------------------

CREATE TABLE IF NOT EXISTS payments (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      text        NOT NULL UNIQUE,
    register int         NOT NULL,
    receipt  bigint      NOT NULL,
    table_no int,        -- NULL: a sale at the counter
    paid_at  timestamptz NOT NULL,
    UNIQUE (register, receipt),
    FOREIGN KEY (register, receipt) REFERENCES receipts (register, number)
);

CREATE TABLE IF NOT EXISTS orders (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text        NOT NULL UNIQUE,
    register    int         NOT NULL REFERENCES registers (register),
    table_no    int         NOT NULL CHECK (table_no BETWEEN 1 AND 999),
    total_cents bigint      NOT NULL CHECK (total_cents > 0),
    placed_at   timestamptz NOT NULL DEFAULT now(),
    payment_id  bigint      REFERENCES payments (id) -- NULL: open
);
CREATE INDEX IF NOT EXISTS orders_open ON orders (table_no) WHERE payment_id IS NULL;

CREATE TABLE IF NOT EXISTS order_items (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    bigint NOT NULL REFERENCES orders (id),
    sku         text   NOT NULL,
    qty         int    NOT NULL CHECK (qty BETWEEN 1 AND 99),
    price_cents bigint NOT NULL CHECK (price_cents >= 0)
);
CREATE INDEX IF NOT EXISTS order_items_order ON order_items (order_id);

-- The kitchen ----------------------------------------------------------------

-- What the kitchen has not taken yet. Written with the order, deleted with the ticket.
CREATE TABLE IF NOT EXISTS outbox (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL UNIQUE REFERENCES orders (id),
    table_no int    NOT NULL,
    lines    jsonb  NOT NULL
);

CREATE TABLE IF NOT EXISTS tickets (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   bigint      NOT NULL UNIQUE REFERENCES orders (id),
    table_no   int         NOT NULL,
    lines      jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);
CREATE INDEX IF NOT EXISTS tickets_open ON tickets (id) WHERE done_at IS NULL;

-- What a till does, each in one statement and one short transaction ----------

-- Items of an order as the till sees them: [{"sku", "qty", "price_cents"}, ...].
CREATE OR REPLACE FUNCTION order_lines(the_order bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_agg(jsonb_build_object('sku', sku, 'qty', qty, 'price_cents', price_cents) ORDER BY id)
    FROM order_items WHERE order_id = the_order
$$;

-- Places an order, or finds the one that this key placed before. A concurrent
-- twin waits at the insert until the first has committed, then finds its order.
CREATE OR REPLACE FUNCTION place_order(the_key text, the_register int, the_table int, the_lines jsonb)
RETURNS TABLE (id bigint, register int, table_no int, total_cents bigint, placed_at timestamptz, lines jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    new_order bigint;
BEGIN
    INSERT INTO orders (key, register, table_no, total_cents)
    SELECT the_key, the_register, the_table, sum(l.qty * l.price_cents)
    FROM jsonb_to_recordset(the_lines) AS l (qty int, price_cents bigint)
    ON CONFLICT (key) DO NOTHING
    RETURNING orders.id INTO new_order;

    IF new_order IS NOT NULL THEN
        INSERT INTO order_items (order_id, sku, qty, price_cents)
        SELECT new_order, l.sku, l.qty, l.price_cents
        FROM jsonb_to_recordset(the_lines) AS l (sku text, qty int, price_cents bigint);
        INSERT INTO outbox (order_id, table_no, lines) VALUES (new_order, the_table, the_lines);
    END IF;

    RETURN QUERY
        SELECT o.id, o.register, o.table_no, o.total_cents, o.placed_at, order_lines(o.id)
        FROM orders o WHERE o.key = the_key;
END $$;

-- Pays what is open on a table (the_table not null), and with it or alone a sale
-- at the counter (the_lines not empty); issues the receipt. Returns the receipt
-- of this key, new or from before; no row when there was nothing to pay, which
-- has no effect and leaves the key free. A concurrent twin waits for the key.
-- Locks are always taken in one order, so none wait in a circle: key, orders by
-- id, register. The register comes last: it is what others wait for.
CREATE OR REPLACE FUNCTION pay(the_key text, the_register int, the_table int, the_lines jsonb)
RETURNS SETOF receipts LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    new_payment bigint;
    paid        bigint[];
    sold        jsonb;
    total       bigint;
    counter     registers;
    receipt     receipts;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(the_key, 0));
    SELECT r.* INTO receipt FROM payments p JOIN receipts r ON r.register = p.register AND r.number = p.receipt
    WHERE p.key = the_key;
    IF FOUND THEN
        RETURN NEXT receipt;
        RETURN;
    END IF;

    SELECT array_agg(o.id) INTO paid FROM (
        SELECT id FROM orders WHERE table_no = the_table AND payment_id IS NULL ORDER BY id FOR UPDATE
    ) AS o;
    SELECT coalesce(jsonb_agg(jsonb_build_object('sku', i.sku, 'qty', i.qty, 'price_cents', i.price_cents)
                              ORDER BY i.id), '[]') || the_lines
    INTO sold FROM order_items i WHERE i.order_id = ANY (paid);
    SELECT sum(l.qty * l.price_cents) INTO total FROM jsonb_to_recordset(sold) AS l (qty int, price_cents bigint);
    IF coalesce(total, 0) <= 0 THEN
        RETURN;
    END IF;

    SELECT * INTO counter FROM registers WHERE register = the_register FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no register %', the_register USING ERRCODE = 'foreign_key_violation';
    END IF;
    receipt.register      := the_register;
    receipt.number        := coalesce(counter.last, 0) + 1;
    receipt.previous      := counter.last;
    receipt.previous_hash := coalesce(counter.last_hash, decode(repeat('00', 32), 'hex'));
    receipt.key           := the_key;
    receipt.total_cents   := total;
    receipt.lines         := sold;
    receipt.issued_at     := clock_timestamp();
    receipt.hash          := receipt_hash(receipt.previous_hash, receipt.register, receipt.number, receipt.key,
                                          receipt.total_cents, receipt.lines, receipt.issued_at);
    INSERT INTO receipts VALUES (receipt.*);
    INSERT INTO payments (key, register, receipt, table_no, paid_at)
    VALUES (the_key, the_register, receipt.number, the_table, receipt.issued_at)
    RETURNING id INTO new_payment;
    UPDATE orders SET payment_id = new_payment WHERE id = ANY (paid);
    RETURN NEXT receipt;
END $$;
