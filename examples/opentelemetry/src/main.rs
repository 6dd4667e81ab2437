//! Tidegate's metrics in OpenTelemetry: a recorder of the `metrics` facade that hands them on.
//!
//! ```sh
//! cargo run --release --package tidegate-opentelemetry-example
//! ```
//!
//! Here they are printed; an OTLP exporter in place of `opentelemetry_stdout` sends them to a collector.

use std::time::{Duration, Instant};

use metrics_exporter_opentelemetry::Recorder;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_stdout::MetricExporter;
use tidegate::Channel;
use tidegate::control::{Controller, ControllerOptions};

fn main() -> anyhow::Result<()> {
    // First the recorder: a controller binds its metrics once, when it is started.
    let reader = PeriodicReader::builder(MetricExporter::default()).with_interval(Duration::from_secs(1)).build();
    let recorder = Recorder::builder("tidegate-example").with_meter_provider(|provider| provider.with_reader(reader));
    let (provider, _recorder) =
        recorder.install().map_err(|error| anyhow::anyhow!("no recorder can be installed: {error}"))?;

    let channel = Channel::options().create_anonymous()?;
    let _controller = Controller::start(&channel, "orders", ControllerOptions::default());
    let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    let receiving = std::thread::spawn(move || std::iter::from_fn(|| receiver.recv().ok().map(drop)).count());
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        for _ in 0..100 {
            sender.send(b"an order")?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(sender);
    let received = receiving.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
    provider.shutdown()?;
    println!("received {received} messages");
    Ok(())
}
