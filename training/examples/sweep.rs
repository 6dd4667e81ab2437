use tidegate_training::Silent;
use tidegate_training::contention::*;
fn main() {
    let m = sweep(SweepParams::default(), &Silent).unwrap();
    println!("round,contenders,cpus,hold,think,arm,locks,p50,p99,cpu");
    for r in m {
        let c = r.contention;
        println!(
            "{},{},{},{},{},{},{},{},{},{}",
            r.round,
            c.contenders,
            c.cpus,
            c.hold_ns,
            c.think_ns,
            r.arm,
            r.locks,
            r.wait_p50_ns,
            r.wait_p99_ns,
            r.cpu_ns
        );
    }
}
