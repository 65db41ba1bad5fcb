#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::similar_names,
    reason = "test code"
)]

use super::*;

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; 2_000];
    let mut writer = Writer::new(&mut buf);
    write(&mut writer);
    let len = writer.finish().unwrap();
    assert_eq!(len % 4, 0);
    buf[..len].to_vec()
}

#[test]
fn reports_survive_a_round_trip() {
    let info = SenderInfo { ntp: NtpTime(0x0102_0304_0506_0708), rtp_timestamp: 9, packets: 10, octets: 11 };
    let report = ReceptionReport {
        ssrc: 1,
        fraction_lost: 2,
        lost: 0x00aa_bbcc,
        highest_sequence: 4,
        jitter: 5,
        last_sender_report: 6,
        delay_since_last: 7,
    };
    let packet = written(|w| {
        write_sender_report(w, 42, &info);
        write_cname(w, 42, "visavis");
        write_receiver_report(w, 43, &[report, report]);
        write_pli(w, 1, 77);
        write_fir(w, 1, 78, 3);
        write_remb(w, 1, 2_500_000, &[1, 2]);
    });
    let mut compound = Compound::new(&packet);
    assert!(matches!(compound.next(), Some(Rtcp::SenderReport { ssrc: 42, info: got, .. }) if got == info));
    let Some(Rtcp::ReceiverReport { reports }) = compound.next() else { panic!("no receiver report") };
    assert_eq!(reports.collect::<Vec<_>>(), [report, report]);
    assert!(matches!(compound.next(), Some(Rtcp::Pli(77))));
    let Some(Rtcp::Fir(targets)) = compound.next() else { panic!("no full intra request") };
    assert_eq!(targets.collect::<Vec<_>>(), [78]);
    assert!(matches!(compound.next(), Some(Rtcp::Remb(2_500_000))));
    assert!(compound.next().is_none());
}

#[test]
fn nacks_survive_a_round_trip_over_the_wrap() {
    let lost = [65_530, 65_535, 0, 3, 10, 11, 500];
    let packet = written(|w| write_nack(w, 1, 2, lost.into_iter()));
    let Some(Rtcp::Nack(nack)) = Compound::new(&packet).next() else { panic!("no nack") };
    assert_eq!(nack.ssrc, 2);
    assert_eq!(nack.sequences().collect::<Vec<_>>(), lost);
}

#[test]
fn remb_saturates() {
    let packet = written(|w| write_remb(w, 1, u64::MAX, &[]));
    let Some(Rtcp::Remb(bits)) = Compound::new(&packet).next() else { panic!("no remb") };
    assert!(bits > u64::MAX / 2);
    let mut lying = packet;
    lying[17] = 0xff;
    assert!(matches!(Compound::new(&lying).next(), Some(Rtcp::Remb(u64::MAX))));
}

fn twcc_round_trip(base: u16, arrivals: &[Option<i64>]) {
    let packet = written(|w| assert_eq!(write_twcc(w, 1, 2, base, 3, arrivals), arrivals.len()));
    let Some(Rtcp::Twcc(feedback)) = Compound::new(&packet).next() else { panic!("no feedback") };
    let got: Vec<_> = feedback.arrivals().collect();
    assert_eq!(got.len(), arrivals.len());
    for (at, (got, sent)) in got.iter().zip(arrivals).enumerate() {
        assert_eq!(got.sequence, base.wrapping_add(at as u16));
        assert_eq!(got.at_micros, sent.map(|micros| micros.div_euclid(250) * 250));
    }
}

#[test]
fn feedback_survives_a_round_trip() {
    twcc_round_trip(7, &[Some(1_000_123)]);
    twcc_round_trip(65_534, &[Some(1_000_000), None, Some(1_003_000), Some(1_002_000), Some(1_200_000)]);
    twcc_round_trip(0, &[Some(64_000); 20]);
    twcc_round_trip(0, &[None, None, Some(5)]);
    let mut state = 1_u64;
    for len in 1..200 {
        let mut now = 10_000_000;
        let arrivals: Vec<_> = (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                now += i64::try_from(state >> 40).unwrap() % 90_000 - 5_000;
                (state >> 60 > 4).then_some(now)
            })
            .collect();
        if arrivals.iter().any(Option::is_some) {
            twcc_round_trip(len as u16, &arrivals);
        }
    }
}

#[test]
fn a_delta_that_does_not_fit_ends_the_feedback() {
    written(|w| assert_eq!(write_twcc(w, 1, 2, 0, 0, &[Some(0), Some(1), Some(60_000_000)]), 2));
    written(|w| assert_eq!(write_twcc(w, 1, 2, 0, 0, &[None, None]), 0));
}

#[test]
fn lying_lengths_end_the_compound() {
    let packet = written(|w| {
        write_nack(w, 1, 2, [1, 2, 60].into_iter());
        write_twcc(w, 1, 2, 0, 0, &[Some(0), None, Some(70_000)]);
        write_receiver_report(w, 3, &[ReceptionReport::default()]);
    });
    for cut in 0..packet.len() {
        Compound::new(&packet[..cut]).for_each(exhaust);
    }
    for at in 0..packet.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut lying = packet.clone();
            lying[at] = value;
            Compound::new(&lying).for_each(exhaust);
        }
    }
    assert_eq!(Compound::new(&[0x80, 205, 0xff, 0xff, 0, 0, 0, 0]).count(), 0);
}

fn exhaust(packet: Rtcp<'_>) {
    match packet {
        Rtcp::Nack(nack) => assert!(nack.sequences().count() <= 17 * 500),
        Rtcp::Twcc(feedback) => assert!(feedback.arrivals().count() <= usize::from(MAX_STATUSES)),
        Rtcp::SenderReport { reports, .. } | Rtcp::ReceiverReport { reports } => {
            assert!(reports.count() <= 31);
        }
        Rtcp::Fir(targets) => assert!(targets.count() < 500),
        Rtcp::Bye(ssrcs) => assert!(ssrcs.count() <= 31),
        Rtcp::Pli(_) | Rtcp::Remb(_) => {}
    }
}
