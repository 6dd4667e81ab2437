//! A scrape of many channels: how long it takes, and what senders notice of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Parser;
use serde::Serialize;
use tidegate::control::{Controller, ControllerOptions};
use tidegate::inspect::{Address, Endpoint, Registry};
use tidegate::{Channel, Receiver, Sender};
use tidegate_benches::machine::{Machine, allow_channels};

/// Between two messages of the sender that is watched.
const SEND_EVERY: Duration = Duration::from_micros(50);
/// Between two scrapes.
const SCRAPE_EVERY: Duration = Duration::from_millis(200);

const QUIET: u8 = 0;
const SCRAPED: u8 = 1;
const OVER: u8 = 2;

/// Scrapes the metrics of many channels
#[derive(Debug, Parser)]
#[command(name = "scrape")]
struct Options {
    /// Channels
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    channels: u32,
    /// Seconds without and with scrapes, in turns of one second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What a sender measures.
#[derive(Debug, Default, Serialize)]
struct Sends {
    messages: usize,
    p50_ns: u64,
    p999_ns: u64,
    /// Waits for room.
    stalls: u64,
}

#[derive(Debug, Serialize)]
struct ScrapeReport {
    machine: Machine,
    channels: u32,
    scrapes: usize,
    bytes: usize,
    scrape_ms_p50: f64,
    scrape_ms_max: f64,
    quiet: Sends,
    scraped: Sends,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    allow_channels(options.channels)?;
    let registry = Registry::default();
    let shown = (0..options.channels).map(|number| show(&registry, number)).collect::<anyhow::Result<Vec<_>>>()?;
    let endpoint = Endpoint::serve(&"127.0.0.1:0".parse().map_err(anyhow::Error::msg)?, registry)?;
    let phase = Arc::new(AtomicU8::new(QUIET));
    let sending = std::thread::spawn({
        let phase = Arc::clone(&phase);
        move || send(&phase)
    });
    let (mut took_ms, mut bytes) = (Vec::new(), 0);
    for second in 0..options.seconds {
        let is_scraped = second % 2 == 1;
        phase.store(if is_scraped { SCRAPED } else { QUIET }, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let began = Instant::now();
            if is_scraped {
                bytes = scrape(endpoint.address())?;
                took_ms.push(began.elapsed().as_secs_f64() * 1e3);
            }
            std::thread::sleep((began + SCRAPE_EVERY).min(until).saturating_duration_since(Instant::now()));
        }
    }
    phase.store(OVER, Ordering::Relaxed);
    let [quiet, scraped] = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    drop(shown);
    took_ms.sort_by(f64::total_cmp);
    let report = ScrapeReport {
        machine: Machine::here(),
        channels: options.channels,
        scrapes: took_ms.len(),
        bytes,
        scrape_ms_p50: took_ms[took_ms.len() / 2],
        scrape_ms_max: took_ms[took_ms.len() - 1],
        quiet,
        scraped,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let Machine { cpu_model, cpus, kernel, commit } = &report.machine;
    println!("{cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}");
    println!(
        "{} scrapes of {} channels, {} KiB each: {:.1} ms in the median, {:.1} ms at most",
        report.scrapes,
        report.channels,
        report.bytes >> 10,
        report.scrape_ms_p50,
        report.scrape_ms_max
    );
    for (name, sends) in [("quiet", &report.quiet), ("scraped", &report.scraped)] {
        let Sends { messages, p50_ns, p999_ns, stalls } = sends;
        println!(
            "{name:>8}: {messages} messages, {stalls} stalls, sent {p50_ns} ns after it was due, 999 of 1,000 up to {p999_ns} ns"
        );
    }
    let ratio = report.scraped.p999_ns as f64 / report.quiet.p999_ns.max(1) as f64;
    println!("   ratio: {ratio:.2} of the 999th of 1,000");
    Ok(())
}

/// What a channel that is shown needs to go on.
struct Shown {
    _ends: (Sender, Receiver),
    _controller: Controller,
}

/// A channel with some traffic and a controller that has seen it.
fn show(registry: &Registry, number: u32) -> anyhow::Result<Shown> {
    let channel = Channel::options().senders_max(2).create_anonymous()?;
    let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    let controller = Controller::start(&channel, &format!("channel-{number:04}"), ControllerOptions::default());
    for _ in 0..10 {
        sender.send(&[0; 100])?;
        drop(receiver.recv()?);
    }
    registry.add(&channel, controller.state());
    Ok(Shown { _ends: (sender, receiver), _controller: controller })
}

/// Reads `/metrics` whole; yields its bytes.
fn scrape(address: &Address) -> anyhow::Result<usize> {
    let Address::Tcp(address) = address else { bail!("not a port: {address}") };
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.0 200") {
        bail!("{}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    }
    Ok(answer.len())
}

/// Sends at a steady pace, and measures how late each message is sent, until it is over.
fn send(phase: &AtomicU8) -> anyhow::Result<[Sends; 2]> {
    let channel = Channel::options().create_anonymous()?;
    let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    let receiving = std::thread::spawn(move || while receiver.recv().is_ok() {});
    let mut took = [Vec::new(), Vec::new()];
    let mut stalls = [0, 0];
    let stalled = || channel.view().sender_waits().waits;
    let (mut due, mut before) = (Instant::now(), stalled());
    let mut last = phase.load(Ordering::Relaxed);
    loop {
        let now = phase.load(Ordering::Relaxed);
        if now != last {
            let after = stalled();
            stalls[usize::from(last)] += after - before;
            (before, last) = (after, now);
        }
        if now == OVER {
            break;
        }
        due += SEND_EVERY;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        sender.send(&[0; 64])?;
        // From when it was due, so that what held up the whole thread is in it.
        took[usize::from(now)].push(due.elapsed().as_nanos() as u64);
    }
    drop(sender);
    receiving.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
    let [mut quiet, mut scraped] = took;
    let [quiet_stalls, scraped_stalls] = stalls;
    Ok([summary(&mut quiet, quiet_stalls), summary(&mut scraped, scraped_stalls)])
}

fn summary(took: &mut [u64], stalls: u64) -> Sends {
    took.sort_unstable();
    let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or(0);
    Sends { messages: took.len(), p50_ns: at(0.5), p999_ns: at(0.999), stalls }
}
