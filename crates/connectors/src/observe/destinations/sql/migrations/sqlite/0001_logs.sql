-- One row for what a generation cost. A NULL cost is a model without a known price. Costs are
-- whole numbers of 10^-12 US dollars, since SQLite has no decimals; the view has dollars.
CREATE TABLE model_cost_logs (
    workspace_id        TEXT    NOT NULL,
    event_id            TEXT    NOT NULL,
    "timestamp"         TEXT    NOT NULL,
    user_id             TEXT,
    trace_id            TEXT,
    span_id             TEXT,
    provider            TEXT,
    model               TEXT    NOT NULL,
    matched_key         TEXT,
    price_hash          TEXT    NOT NULL,
    tier                TEXT    NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_tokens       INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    input_cost_pico     INTEGER,
    output_cost_pico    INTEGER,
    cost_pico           INTEGER,
    currency            TEXT    NOT NULL DEFAULT 'USD',
    stated              INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, event_id)
);
CREATE INDEX idx_model_cost_logs_user_timestamp ON model_cost_logs (user_id, "timestamp");
CREATE INDEX idx_model_cost_logs_timestamp ON model_cost_logs ("timestamp");

CREATE VIEW model_costs AS
    SELECT *, cost_pico / 1e12 AS cost FROM model_cost_logs;

-- Product events, scores, and what policies flagged.
CREATE TABLE event_logs (
    workspace_id  TEXT NOT NULL,
    event_id      TEXT NOT NULL,
    "timestamp"   TEXT NOT NULL,
    user_id       TEXT,
    type          TEXT NOT NULL,
    name          TEXT NOT NULL,
    flags         TEXT,
    payload       TEXT NOT NULL,
    PRIMARY KEY (workspace_id, event_id)
);
CREATE INDEX idx_event_logs_workspace_timestamp ON event_logs (workspace_id, "timestamp");
CREATE INDEX idx_event_logs_timestamp ON event_logs ("timestamp");
