//! Arrays that other libraries hand over by the DLPack protocol, in the layout of its header `dlpack.h`, version 0.8.

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};

#[repr(C)]
struct Device {
    kind: i32,
    index: i32,
}

#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: Device,
    ndim: i32,
    dtype: DataType,
    shape: *const i64,
    /// Null for C order.
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
struct Managed {
    tensor: Tensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

/// Memory of this machine's processor, and that of it which a GPU reaches too.
const ON_THE_HOST: [i32; 3] = [1, 3, 11];
const NAME: &CStr = c"dltensor";
const USED: &CStr = c"used_dltensor";

/// A tensor that was handed over; given back when it is dropped.
pub struct Borrowed(*mut Managed);

// SAFETY: the tensor is read only, and given back once, by whoever drops the last reference.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // Some libraries give memory back to Python, which takes the interpreter's lock. Without an interpreter there is
        // nobody to give it back to.
        Python::try_attach(|_| {
            // SAFETY: the pointer came from a capsule that is marked as used, so that nobody else calls the deleter.
            unsafe {
                if let Some(deleter) = (*self.0).deleter {
                    deleter(self.0);
                }
            }
        });
    }
}

/// A tensor as its library describes it.
pub struct Described {
    pub owner: Borrowed,
    pub address: usize,
    pub shape: Vec<usize>,
    /// Bytes.
    pub strides: Vec<isize>,
    /// Kind and bits, such as `float32` or `bfloat16`.
    pub dtype: String,
}

/// Takes the tensor of `object`, which has `__dlpack__`.
pub fn take(object: &Bound<'_, PyAny>) -> PyResult<Described> {
    let capsule = object.call_method0("__dlpack__")?;
    // SAFETY: `capsule` is a live object; the function checks that it is a capsule of that name.
    let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), NAME.as_ptr()) };
    if pointer.is_null() {
        return Err(PyErr::fetch(object.py()));
    }
    // SAFETY: as above; the name is static. Capsules that are used are not freed by their destructor.
    if unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), USED.as_ptr()) } != 0 {
        return Err(PyErr::fetch(object.py()));
    }
    let owner = Borrowed(pointer.cast());
    // SAFETY: a capsule of that name holds a pointer to this structure, which lives until its deleter is called.
    let tensor = unsafe { &(*owner.0).tensor };
    if !ON_THE_HOST.contains(&tensor.device.kind) {
        return Err(PyBufferError::new_err("the array is not in host memory"));
    }
    let ndim = usize::try_from(tensor.ndim)?;
    let list = |at: *const i64| -> Vec<i64> {
        // SAFETY: shape and strides have `ndim` elements each.
        (0..ndim).map(|i| unsafe { *at.add(i) }).collect()
    };
    let shape = list(tensor.shape)
        .into_iter()
        .map(usize::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let size = isize::from(tensor.dtype.bits.div_ceil(8));
    let strides = if tensor.strides.is_null() {
        let mut strides = vec![size; ndim];
        for axis in (1..ndim).rev() {
            strides[axis - 1] = strides[axis] * shape[axis] as isize;
        }
        strides
    } else {
        list(tensor.strides)
            .into_iter()
            .map(|stride| stride as isize * size)
            .collect()
    };
    let kind = match (tensor.dtype.code, tensor.dtype.lanes) {
        (0, 1) => "int",
        (1, 1) => "uint",
        (2, 1) => "float",
        (4, 1) => "bfloat",
        (5, 1) => "complex",
        (6, 1) => "bool",
        (code, _) => {
            return Err(PyValueError::new_err(format!(
                "elements of DLPack's type {code} are not known"
            )));
        }
    };
    Ok(Described {
        address: tensor.data as usize + usize::try_from(tensor.byte_offset)?,
        shape,
        strides,
        dtype: format!("{kind}{}", tensor.dtype.bits),
        owner,
    })
}
