//! 2-D convolution.

use super::Tensor;
use crate::Result;
use crate::device::Conv2dParams;

pub(super) fn conv2d(
    _x: &Tensor,
    _weight: &Tensor,
    _bias: Option<&Tensor>,
    _params: &Conv2dParams,
) -> Result<Tensor> {
    Err(crate::Error::Usage("not built yet".into()))
}
