-- One row for what a generation cost. A NULL cost is a model without a known price.
CREATE TABLE model_cost_logs (
    workspace_id        text        NOT NULL,
    event_id            text        NOT NULL,
    "timestamp"         timestamptz NOT NULL,
    user_id             text,
    trace_id            text,
    span_id             text,
    provider            text,
    model               text        NOT NULL,
    matched_key         text,
    price_hash          text        NOT NULL,
    tier                text        NOT NULL,
    input_tokens        bigint      NOT NULL,
    cached_tokens       bigint      NOT NULL,
    cache_write_tokens  bigint      NOT NULL,
    output_tokens       bigint      NOT NULL,
    reasoning_tokens    bigint      NOT NULL,
    input_cost          numeric(20, 12),
    output_cost         numeric(20, 12),
    cost                numeric(20, 12),
    currency            text        NOT NULL DEFAULT 'USD',
    stated              boolean     NOT NULL,
    PRIMARY KEY (workspace_id, event_id)
);
CREATE INDEX idx_model_cost_logs_user_timestamp ON model_cost_logs (user_id, "timestamp");
CREATE INDEX idx_model_cost_logs_timestamp ON model_cost_logs USING brin ("timestamp");

-- Product events, scores, and what policies flagged.
CREATE TABLE event_logs (
    workspace_id  text        NOT NULL,
    event_id      text        NOT NULL,
    "timestamp"   timestamptz NOT NULL,
    user_id       text,
    type          text        NOT NULL,
    name          text        NOT NULL,
    flags         text,
    payload       jsonb       NOT NULL,
    PRIMARY KEY (workspace_id, event_id)
);
CREATE INDEX idx_event_logs_workspace_timestamp ON event_logs (workspace_id, "timestamp");
CREATE INDEX idx_event_logs_timestamp ON event_logs USING brin ("timestamp");
