// Values that stand for a norm or a lower bound.

// Such a row is never a candidate.
const NEVER = 3e38;
// Nothing is known of such a row, so it is always a candidate.
const ALWAYS = -1e38;
