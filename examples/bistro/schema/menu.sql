-- Database "menu": what there is to eat, and what it cost when.
-- May be run again at any time: prices that were changed stay changed.
-- Run it as the role that owns the objects.

CREATE TABLE IF NOT EXISTS items (
    sku         text        PRIMARY KEY CHECK (sku ~ '^[a-z0-9-]{1,40}$'),
    name        text        NOT NULL,
    course      text        NOT NULL CHECK (course IN ('starter', 'main', 'side', 'dessert', 'drink')),
    price_cents bigint      NOT NULL CHECK (price_cents BETWEEN 1 AND 1000000),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS price_changes (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text        NOT NULL REFERENCES items (sku),
    from_cents bigint      NOT NULL,
    to_cents   bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO items (sku, name, course, price_cents) VALUES
    ('onion-soup', 'Onion soup', 'starter', 690),
    ('tomato-soup', 'Tomato soup', 'starter', 590),
    ('beef-tatar', 'Beef tatar', 'starter', 1390),
    ('goat-cheese', 'Warm goat cheese', 'starter', 890),
    ('smoked-trout', 'Smoked trout', 'starter', 1090),
    ('green-salad', 'Green salad', 'starter', 490),
    ('snails', 'Half a dozen snails', 'starter', 1190),
    ('oysters', 'Six oysters', 'starter', 1890),
    ('steak-frites', 'Steak frites', 'main', 2490),
    ('coq-au-vin', 'Coq au vin', 'main', 2190),
    ('mussels', 'Mussels in white wine', 'main', 1890),
    ('ratatouille', 'Ratatouille', 'main', 1490),
    ('quiche', 'Quiche lorraine', 'main', 1290),
    ('risotto', 'Mushroom risotto', 'main', 1690),
    ('pike-perch', 'Pike-perch on leek', 'main', 2390),
    ('veal-stew', 'Veal stew', 'main', 2090),
    ('duck-breast', 'Duck breast', 'main', 2590),
    ('croque', 'Croque monsieur', 'main', 990),
    ('flammkuchen', 'Flammkuchen', 'main', 1190),
    ('lentil-stew', 'Lentil stew', 'main', 1090),
    ('fries', 'Fries', 'side', 450),
    ('gratin', 'Potato gratin', 'side', 550),
    ('beans', 'Green beans', 'side', 450),
    ('bread', 'Bread basket', 'side', 290),
    ('rice', 'Buttered rice', 'side', 390),
    ('creme-brulee', 'Crème brûlée', 'dessert', 690),
    ('mousse', 'Chocolate mousse', 'dessert', 650),
    ('tarte-tatin', 'Tarte tatin', 'dessert', 750),
    ('sorbet', 'Three sorbets', 'dessert', 590),
    ('cheese-plate', 'Cheese plate', 'dessert', 990),
    ('profiteroles', 'Profiteroles', 'dessert', 790),
    ('espresso', 'Espresso', 'drink', 260),
    ('cafe-creme', 'Café crème', 'drink', 340),
    ('tea', 'Pot of tea', 'drink', 380),
    ('water', 'Water, still', 'drink', 320),
    ('sparkling', 'Water, sparkling', 'drink', 320),
    ('lemonade', 'Lemonade', 'drink', 390),
    ('cider', 'Cider', 'drink', 420),
    ('red-wine', 'Red wine, a glass', 'drink', 620),
    ('white-wine', 'White wine, a glass', 'drink', 590)
ON CONFLICT (sku) DO NOTHING;

-- Changes a price and remembers the old one; the same price again changes nothing.
CREATE OR REPLACE FUNCTION set_price(the_sku text, cents bigint) RETURNS SETOF items LANGUAGE plpgsql AS $$
DECLARE
    item items;
BEGIN
    SELECT * INTO item FROM items WHERE sku = the_sku FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF item.price_cents <> cents THEN
        INSERT INTO price_changes (sku, from_cents, to_cents) VALUES (the_sku, item.price_cents, cents);
        UPDATE items SET price_cents = cents, updated_at = now() WHERE sku = the_sku RETURNING * INTO item;
    END IF;
    RETURN NEXT item;
END $$;
