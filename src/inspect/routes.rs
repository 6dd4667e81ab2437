//! Which path answers what. Everything only reads.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::control::HistoryPoint;
use crate::inspect::channels::{Course, Span};
use crate::inspect::clock::UnixClock;
use crate::inspect::decisions::{self, Filter, Models, Which};
use crate::inspect::registry::Registry;
use crate::inspect::{events, exposition, page};

/// Listeners to `/events` at a time.
const LISTENERS_MAX: usize = 32;

/// Sent with every answer: what a page from here may do, which is little.
const PROTECTION: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What every request may look at.
#[derive(Debug, Clone)]
struct Served {
    registry: Registry,
    listeners: Arc<Semaphore>,
}

pub(crate) fn router(registry: Registry) -> Router {
    let mut router = Router::new()
        .route("/", get(front))
        .route("/metrics", get(metrics))
        .route("/channels", get(channels))
        .route("/history", get(history))
        .route("/decisions", get(listed))
        .route("/explain", get(explain))
        .route("/models", get(models))
        .route("/events", get(listen))
        .route("/healthz", get(|| async { "ok\n" }));
    for asset in &page::ASSETS {
        router = router.route(asset.path, get(|| async { asset.answer() }));
    }
    router
        .fallback(|| async { wrong(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(from_fn(guard))
        .with_state(Served { registry, listeners: Arc::new(Semaphore::new(LISTENERS_MAX)) })
}

/// Refuses requests that name another host, since a page elsewhere may point a name of its own at 127.0.0.1; and protects what is
/// answered.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let mut answer = if is_own_name(host) {
        next.run(request).await
    } else {
        wrong(StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1, [::1] or localhost")
    };
    for (name, value) in PROTECTION {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Whether a `Host` header names this machine as it names itself. An address needs no look-up that somebody could answer.
fn is_own_name(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What a query asks for; one that makes no sense is answered as everything else is.
struct Asked<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let refused = |why: axum::extract::rejection::QueryRejection| wrong(StatusCode::BAD_REQUEST, &why.body_text());
        query.map(|Query(asked)| Self(asked)).map_err(refused)
    }
}

fn wrong(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "version": 1, "error": why }))).into_response()
}

async fn front(State(served): State<Served>, Asked(filter): Asked<Filter>) -> Response {
    page::render(&served.registry, &filter).map_or_else(|why| wrong(StatusCode::BAD_REQUEST, &why), Html::into_response)
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    let text = exposition::render(&served.registry.look(), served.registry.budget().as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn channels(State(served): State<Served>) -> impl IntoResponse {
    axum::Json(served.registry.channels())
}

async fn history(State(served): State<Served>, Asked(span): Asked<Span>) -> Response {
    let Some(state) = served.registry.state(&span.channel) else {
        return wrong(StatusCode::NOT_FOUND, &format!("no channel `{}` is shown here", span.channel));
    };
    let (span_ns, width_ns) = span.widths_ns();
    let since_ns = UnixClock::now().monotonic_ns().saturating_sub(span_ns);
    // Copied first, so that what is made of it holds up no controller.
    let points: Vec<HistoryPoint> = state.history.lock().points_since(since_ns).collect();
    axum::Json(Course::of(&state.name, points, width_ns)).into_response()
}

async fn listed(State(served): State<Served>, Asked(filter): Asked<Filter>) -> Response {
    match decisions::list(&served.registry, &filter) {
        Ok(listed) => axum::Json(listed).into_response(),
        Err(why) => wrong(StatusCode::BAD_REQUEST, &why),
    }
}

async fn explain(State(served): State<Served>, Asked(which): Asked<Which>) -> Response {
    match decisions::tell(&served.registry, &which) {
        Some(told) => axum::Json(told).into_response(),
        None => wrong(StatusCode::NOT_FOUND, &format!("no decision {} of `{}` is kept here", which.id, which.channel)),
    }
}

async fn models(State(served): State<Served>) -> impl IntoResponse {
    axum::Json(Models::of(&served.registry))
}

async fn listen(State(served): State<Served>, Asked(wanted): Asked<events::Wanted>) -> Response {
    match served.listeners.try_acquire_owned() {
        Ok(place) => events::stream(served.registry, wanted, place).into_response(),
        Err(_) => wrong(StatusCode::SERVICE_UNAVAILABLE, "too many listen already"),
    }
}
