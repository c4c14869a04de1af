// The error function and its complement within 2 units in the last place, by the rational approximations of
// fdlibm (Sun Microsystems, 1993; s_erff.c).
#import exp

const ERF_AT_ONE = 8.4506291151e-1;

// (erf(x) - x) / x as a function of z = x^2, for |x| < 0.84375.
fn erf_small(z: f32) -> f32 {
    let r = 1.2837916613e-1 + z * (-3.2504209876e-1 + z * (-2.8481749818e-2
        + z * (-5.7702702470e-3 + z * -2.3763017452e-5)));
    let s = 1.0 + z * (3.9791721106e-1 + z * (6.5022252500e-2 + z * (5.0813062117e-3
        + z * (1.3249473704e-4 + z * -3.9602282413e-6))));
    return r / s;
}

// erf(x) - ERF_AT_ONE for 0.84375 <= x < 1.25, as a function of s = x - 1.
fn erf_near_one(s: f32) -> f32 {
    let p = -2.3621185683e-3 + s * (4.1485610604e-1 + s * (-3.7220788002e-1 + s * (3.1834661961e-1
        + s * (-1.1089469492e-1 + s * (3.5478305072e-2 + s * -2.1663755178e-3)))));
    let q = 1.0 + s * (1.0642088205e-1 + s * (5.4039794207e-1 + s * (7.1828655899e-2
        + s * (1.2617121637e-1 + s * (1.3637083583e-2 + s * 1.1984500103e-2)))));
    return p / q;
}

// 1 - erf(x) for x >= 1.25.
fn erfc_tail(x: f32) -> f32 {
    if (x > 10.0) {
        return 0.0;
    }
    let s = 1.0 / (x * x);
    var quotient = 0.0;
    if (x < 2.857142857) {
        let r = -9.8649440333e-3 + s * (-6.9385856390e-1 + s * (-1.0558626175e1
            + s * (-6.2375331879e1 + s * (-1.6239666748e2 + s * (-1.8460508728e2
            + s * (-8.1287437439e1 + s * -9.8143291473))))));
        let q = 1.0 + s * (1.9651271820e1 + s * (1.3765776062e2 + s * (4.3456588745e2
            + s * (6.4538726807e2 + s * (4.2900814819e2 + s * (1.0863500214e2
            + s * (6.5702495575 + s * -6.0424413532e-2)))))));
        quotient = r / q;
    } else {
        let r = -9.8649431020e-3 + s * (-7.9928326607e-1 + s * (-1.7757955551e1
            + s * (-1.6063638306e2 + s * (-6.3756646729e2 + s * (-1.0250950928e3
            + s * -4.8351919556e2)))));
        let q = 1.0 + s * (3.0338060379e1 + s * (3.2579251099e2 + s * (1.5367296143e3
            + s * (3.1998581543e3 + s * (2.5530502930e3 + s * (4.7452853394e2
            + s * -2.2440952301e1))))));
        quotient = r / q;
    }
    // e^(-x^2) = e^(-z^2) e^((z - x) (z + x)) with a z of so few bits that z^2 is exact.
    let z = bitcast<f32>(bitcast<u32>(x) & 0xffffe000u);
    return exp_nonpositive(-z * z - 0.5625) * exponential((z - x) * (z + x) + quotient) / x;
}

fn erf(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.84375) {
        return x + x * erf_small(x * x);
    }
    if (a < 1.25) {
        return sign(x) * (ERF_AT_ONE + erf_near_one(a - 1.0));
    }
    return sign(x) * (1.0 - erfc_tail(a));
}

// 1 - erf(x), with a relative accuracy that the difference would lose.
fn erfc(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.84375) {
        let y = x + x * erf_small(x * x);
        return select(0.5 - (y - 0.5), 1.0 - y, x < 0.25);
    }
    if (a < 1.25) {
        let below = erf_near_one(a - 1.0);
        return select(1.0 + (ERF_AT_ONE + below), (1.0 - ERF_AT_ONE) - below, x > 0.0);
    }
    let tail = erfc_tail(a);
    return select(2.0 - tail, tail, x > 0.0);
}
