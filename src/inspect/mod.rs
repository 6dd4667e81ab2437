//! An HTTP endpoint for people and scrapers: `/metrics`, `/decisions`, `/forecasts` and `/healthz`.
//!
//! - `/metrics`: what the process's recorder of the `metrics` facade renders.
//! - `/decisions`: the journals' entries as JSON, oldest first; `?channel=`, `?action=`, `?reason=`, `?from=ID`, `?limit=`.
//! - `/forecasts`: which forecast is in charge of each channel, and why.
//!
//! ```
//! use std::sync::Arc;
//! use tidegate::Channel;
//! use tidegate::control::{Controller, ControllerOptions};
//! use tidegate::inspect::{Endpoint, Sources};
//!
//! let channel = Channel::options().create_anonymous()?;
//! let controller = Controller::start(&channel, "orders", ControllerOptions::default());
//! // With the crate metrics-exporter-prometheus: install its recorder before the controller is made, and render its handle.
//! let metrics = || String::from("# no recorder is installed\n");
//! let sources = Sources { metrics: Box::new(metrics), controllers: vec![controller.state()].into() };
//! let endpoint = Endpoint::serve(([127, 0, 0, 1], 0).into(), Arc::new(sources))?;
//! println!("http://{}/decisions", endpoint.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It reads and never changes anything. It answers GET requests whose `Host` is this machine's own name for itself, so
//! that a web page elsewhere cannot read it through a user's browser.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::control::{ControllerState, Decision};

/// Decisions in one answer, unless the request asks for fewer.
const PAGE_MAX: usize = 1000;

/// What an endpoint shows.
pub struct Sources {
    /// Renders the metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Controllers whose decisions are shown.
    pub controllers: Mutex<Vec<Arc<ControllerState>>>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("controllers", &self.controllers).finish_non_exhaustive()
    }
}

/// A running endpoint; it closes when this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Which decisions to list.
#[derive(Debug, Default, Deserialize)]
struct Filter {
    channel: Option<String>,
    action: Option<String>,
    reason: Option<String>,
    /// Decisions with this id and later ones.
    from: Option<u64>,
    limit: Option<usize>,
}

impl Endpoint {
    /// Serves `sources` on `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread or socket can be had.
    pub fn serve(address: SocketAddr, sources: Arc<Sources>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("tidegate-inspect".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _only_fails_with_the_socket = axum::serve(listener, router(sources)) => {}
                    _asked_to_stop = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _a_panic_there_was_reported_there = thread.join();
        }
    }
}

fn router(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/decisions", get(decisions))
        .route("/forecasts", get(forecasts))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(from_fn(own_host))
        .with_state(sources)
}

/// Refuses requests that name another host: a page that points a name of its own at 127.0.0.1 gets nothing.
async fn own_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    if matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1 or localhost\n").into_response()
    }
}

async fn metrics(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (sources.metrics)())
}

async fn decisions(State(sources): State<Arc<Sources>>, Query(filter): Query<Filter>) -> impl IntoResponse {
    let mut found: Vec<Decision> = Vec::new();
    for state in sources.controllers.lock().iter() {
        let journal = state.journal.lock();
        found.extend(journal.decisions().filter(|decision| filter.passes(decision)).cloned());
    }
    found.truncate(filter.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX));
    axum::Json(found)
}

/// What forecasts each channel, and why.
async fn forecasts(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    let controllers = sources.controllers.lock();
    axum::Json(controllers.iter().map(|state| state.journal.lock().forecasting().clone()).collect::<Vec<_>>())
}

impl Filter {
    fn passes(&self, decision: &Decision) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        same(&self.channel, &decision.channel)
            && same(&self.action, decision.action.name())
            && same(&self.reason, decision.reason.name())
            && self.from.is_none_or(|from| decision.id >= from)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::Channel;
    use crate::control::{ControlAgent, ControllerOptions};

    fn get(address: SocketAddr, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_and_decisions_are_served_to_this_host_only() {
        let channel = Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let mut agent = ControlAgent::new(&channel, "orders", ControllerOptions::default());
        for _ in 0..8 {
            sender.try_send(&[0; 100]).unwrap();
            drop(receiver.try_recv().unwrap());
            agent.step();
        }
        while sender.try_send(&[0; 100]).is_ok() {}
        (0..8).for_each(|_| {
            agent.step();
        });
        let sources =
            Sources { metrics: Box::new(|| "tidegate_up 1\n".into()), controllers: Mutex::new(vec![agent.state()]) };
        let endpoint = Endpoint::serve(([127, 0, 0, 1], 0).into(), Arc::new(sources)).unwrap();
        let at = |path: &str| get(endpoint.address(), path, "127.0.0.1:9000");
        assert!(at("/metrics").ends_with("tidegate_up 1\n"));
        assert!(at("/healthz").contains("200 OK"));
        let body = |path: &str| -> serde_json::Value {
            serde_json::from_str(at(path).split("\r\n\r\n").nth(1).unwrap()).unwrap()
        };
        let decisions = body("/decisions");
        assert_eq!(decisions[0]["channel"], "orders");
        assert_eq!(body("/forecasts")[0]["forecast"], "blend");
        assert_eq!(body("/decisions?channel=other"), serde_json::json!([]));
        assert_eq!(body("/decisions?limit=1").as_array().unwrap().len(), 1);
        assert!(get(endpoint.address(), "/decisions", "evil.example").contains("421"));
    }
}
