//! The page, and what it is drawn with. Without scripts it is a table and a list, made here.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use crate::control::{Decision, bytes};
use crate::inspect::decisions::{Filter, list};
use crate::inspect::registry::{Registry, Shown};

const PAGE: &str = include_str!("assets/page.html");

/// A file of the page: its path, its type and what is in it.
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($path:literal, $kind:literal, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("assets/", $file)) }
    };
}

macro_rules! script {
    ($file:literal) => {
        Asset {
            path: concat!("/assets/", $file),
            kind: "text/javascript; charset=utf-8",
            text: include_str!(concat!("assets/", $file)),
        }
    };
}

pub(crate) const ASSETS: [Asset; 10] = [
    asset!("/assets/page.css", "text/css; charset=utf-8", "page.css"),
    script!("page.js"),
    script!("charts.js"),
    script!("common.js"),
    script!("decisions.js"),
    script!("panels.js"),
    script!("series.js"),
    script!("uplot.min.js"),
    asset!("/assets/uplot.min.css", "text/css; charset=utf-8", "uplot.min.css"),
    asset!("/favicon.svg", "image/svg+xml", "favicon.svg"),
];

impl Asset {
    pub(crate) fn answer(&self) -> Response {
        ([(header::CONTENT_TYPE, self.kind)], self.text).into_response()
    }
}

pub(crate) fn render(registry: &Registry, filter: &Filter) -> Result<Html<String>, String> {
    let decisions = list(registry, filter)?.decisions;
    let rows = html! { @for shown in &registry.look() { (row(shown)) } };
    let items = html! { @for decision in &decisions { (item(decision)) } };
    Ok(Html(PAGE.replace("<!--channels-->", &rows.into_string()).replace("<!--decisions-->", &items.into_string())))
}

fn row(Shown { state, view, presence, .. }: &Shown) -> Markup {
    let sent = view.total(|lane| lane.sent_messages);
    html! {
        tr data-channel=(state.name) {
            td { a href={ "/?channel=" (in_query(&state.name)) } { (state.name) } }
            td { (presence.name()) }
            td { (sent) }
            td { (bytes(view.backlog_bytes() as f64)) }
            td { (bytes(view.ring_bytes() as f64)) }
            td { (view.strategy) }
            td { (state.journal.lock().entered()) }
        }
    }
}

fn item(decision: &Decision) -> Markup {
    html! {
        li {
            b { (decision.channel) " " (decision.id) } " " (decision.sentence)
            p { (decision.explanation()) }
        }
    }
}

/// A value as it stands in a query (RFC 3986, 2.1).
fn in_query(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if is_plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}
