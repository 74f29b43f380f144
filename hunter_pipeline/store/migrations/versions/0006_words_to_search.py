"""Let companies be searched and sorted by letters, whatever their case and accents.

Without extensions: neither the embedded server nor every managed one has pg_trgm, unaccent and ICU. The letters stand
here as they are today, so that the function gives the same on every server and every Python.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Latin, Greek, Cyrillic and Armenian capitals, whatever the locale of the database.
CAPITALS = [chr(code) for code in range(0x41, 0x587) if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)]
# Letters that do not fall apart into a plain one and a mark; Turkish needs the i without a dot.
OTHERS = {"ı": "i", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "ð": "d", "Ð": "d", "ς": "σ", "ħ": "h"}
LETTERS = {**{capital: capital.lower() for capital in CAPITALS}, **OTHERS}
# A name that is plain by now, as most are, skips the long list: that is five times as fast.
FOLD = f"""
CREATE FUNCTION hunter_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
SELECT CASE WHEN octet_length(plain) = length(plain) THEN lower(plain COLLATE "C") ELSE
    replace(replace(replace(translate(plain,
        '{"".join(LETTERS)}', '{"".join(LETTERS.values())}'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe') END
FROM (SELECT regexp_replace(normalize(value, NFKD), '[\u0300-\u036f]', '', 'g') AS plain) AS folding
$$
"""
GRAMS = """
CREATE FUNCTION hunter_grams(value text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
SELECT coalesce(array_agg(DISTINCT substr(folded, place, 3)), '{}')
FROM public.hunter_fold(value) folded, generate_series(1, length(folded) - 2) place
$$
"""
WORDS = "domain || ' ' || coalesce(canonical_name, '')"


def upgrade() -> None:
    op.execute(FOLD)
    op.execute(GRAMS)
    op.execute(
        f"ALTER TABLE companies ADD COLUMN sort_name text GENERATED ALWAYS AS (hunter_fold(canonical_name)) STORED,"
        f" ADD COLUMN search_text text GENERATED ALWAYS AS (hunter_fold({WORDS})) STORED,"
        f" ADD COLUMN search_grams text[] GENERATED ALWAYS AS (hunter_grams({WORDS})) STORED"
    )
    for name, comment in (
        ("sort_name", "Name by which the list is sorted: small letters without accents"),
        ("search_text", "Domain and name as they are searched: small letters without accents"),
        ("search_grams", "Every three letters that follow one another in `search_text`"),
    ):
        op.execute(f"COMMENT ON COLUMN companies.{name} IS '{comment}'")
    op.create_index("ix_companies_sort_name_domain", "companies", ["sort_name", "domain"])
    op.create_index("ix_companies_search_grams", "companies", ["search_grams"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_companies_search_grams", "companies")
    op.drop_index("ix_companies_sort_name_domain", "companies")
    op.execute("ALTER TABLE companies DROP COLUMN search_grams, DROP COLUMN search_text, DROP COLUMN sort_name")
    op.execute("DROP FUNCTION hunter_grams(text)")
    op.execute("DROP FUNCTION hunter_fold(text)")
