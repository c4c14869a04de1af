//! Pipelines on the first Vulkan device, compiled with the driver's statistics. wgpu cannot ask for these; apart from
//! that, pipelines are made as wgpu makes them.

use ash::vk;
use chanscope::internals::Source;
use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};
use wgpu::naga;

/// A device, open for as long as the program runs.
pub struct Vulkan {
    // Holds the library that the others call.
    _entry: ash::Entry,
    device: ash::Device,
    statistics: ash::khr::pipeline_executable_properties::Device,
    pub name: String,
    pub features: Features,
}

/// What decides which kernels a device runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    pub float64: bool,
    pub f16: bool,
    /// Whether it has cooperative matrices of 16 x 16, f16 products with f32 sums.
    pub matrices: bool,
    /// Smallest and largest subgroup.
    pub subgroup: [u32; 2],
}

/// What the driver tells about one kernel.
pub struct Compiled {
    pub time: Duration,
    pub statistics: Vec<(String, u64)>,
    /// Texts of the compiler's stages, by name; the machine's instructions are the last one.
    pub texts: Vec<(String, String)>,
}

type Failure = String;

fn words(text: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = text
        .iter()
        .map(|&c| c as u8)
        .take_while(|&c| c != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Vulkan {
    /// Opens the first device with every feature that it has.
    pub fn open() -> Result<Self, Failure> {
        let failed = |what: &'static str| move |e: vk::Result| format!("{what}: {e}");
        // SAFETY: every call gets handles that this function made, with structs that live until it returns. The
        // library is trusted as wgpu trusts it.
        unsafe {
            let entry = ash::Entry::load().map_err(|e| e.to_string())?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry
                .create_instance(&info, None)
                .map_err(failed("no instance"))?;
            let devices = instance.enumerate_physical_devices();
            let devices = devices.map_err(failed("no device"))?;
            let physical = *devices.first().ok_or("no device")?;

            let mut subgroups = vk::PhysicalDeviceSubgroupSizeControlProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut subgroups);
            instance.get_physical_device_properties2(physical, &mut properties);
            let name = words(&properties.properties.device_name);
            let subgroup = [subgroups.min_subgroup_size, subgroups.max_subgroup_size];

            let offered = instance.enumerate_device_extension_properties(physical);
            let offered = offered.map_err(failed("no extensions"))?;
            let has = |name: &CStr| {
                offered
                    .iter()
                    .any(|e| e.extension_name_as_c_str() == Ok(name))
            };
            let statistics = ash::khr::pipeline_executable_properties::NAME;
            let matrices = ash::khr::cooperative_matrix::NAME;
            let mut extensions = vec![statistics.as_ptr()];
            if !has(statistics) {
                return Err(format!("{name} has no statistics"));
            }

            let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut executables =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
            let mut cooperative = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
            let mut all = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut v11)
                .push_next(&mut v12)
                .push_next(&mut v13)
                .push_next(&mut executables);
            if has(matrices) {
                all = all.push_next(&mut cooperative);
                extensions.push(matrices.as_ptr());
            }
            instance.get_physical_device_features2(physical, &mut all);
            all.features.robust_buffer_access = vk::FALSE;
            let float64 = all.features.shader_float64 != 0;
            let priorities = [1.0];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priorities)];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut all);
            let device = instance.create_device(physical, &info, None);
            let device = device.map_err(failed("the device does not open"))?;
            let features = Features {
                float64,
                f16: v12.shader_float16 != 0 && v11.storage_buffer16_bit_access != 0,
                matrices: cooperative.cooperative_matrix != 0
                    && has_matrices(&entry, &instance, physical),
                subgroup,
            };
            let statistics =
                ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self {
                _entry: entry,
                device,
                statistics,
                name,
                features,
            })
        }
    }

    /// Compiles a kernel. `varying`: the device is open with subgroups, as wgpu opens it for cooperative matrices.
    pub fn compile(&self, source: &Source, varying: bool) -> Result<Compiled, Failure> {
        let code = spirv(source)?;
        let failed = |e: vk::Result| e.to_string();
        let entry = CString::new(source.entry).map_err(|e| e.to_string())?;
        let kinds = source
            .read_only
            .iter()
            .map(|_| vk::DescriptorType::STORAGE_BUFFER);
        let kinds = std::iter::once(vk::DescriptorType::UNIFORM_BUFFER).chain(kinds);
        let bindings: Vec<_> = (0..)
            .zip(kinds)
            .map(|(binding, kind)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let device = &self.device;
        // SAFETY: as in `open`. What is made here is destroyed after its last use.
        unsafe {
            let info = vk::ShaderModuleCreateInfo::default().code(&code);
            let module = device.create_shader_module(&info, None).map_err(failed)?;
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [device
                .create_descriptor_set_layout(&info, None)
                .map_err(failed)?];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&info, None).map_err(failed)?;
            let mut flags = vk::PipelineShaderStageCreateFlags::empty();
            if varying {
                flags |= vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE;
            }
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(flags)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(capture)
                .stage(stage)
                .layout(layout);
            let start = Instant::now();
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let time = start.elapsed();
            let result = made.map_err(|(_, e)| e.to_string()).and_then(|pipelines| {
                let texts = self.texts(pipelines[0])?;
                let statistics = self.statistics(pipelines[0])?;
                device.destroy_pipeline(pipelines[0], None);
                Ok(Compiled {
                    time,
                    statistics,
                    texts,
                })
            });
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(sets[0], None);
            device.destroy_shader_module(module, None);
            result
        }
    }

    /// Statistics of the pipeline's only executable.
    ///
    /// # Safety
    /// The pipeline is one of this device, made with the flags for this.
    unsafe fn statistics(&self, pipeline: vk::Pipeline) -> Result<Vec<(String, u64)>, Failure> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's promise.
        let found = unsafe { self.statistics.get_pipeline_executable_statistics(&info) };
        let found = found.map_err(|e| e.to_string())?;
        let value = |s: &vk::PipelineExecutableStatisticKHR<'_>| {
            // SAFETY: the format says which member is set.
            unsafe {
                match s.format {
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64,
                    vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64 as u64,
                    vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => s.value.f64 as u64,
                    _ => u64::from(s.value.b32),
                }
            }
        };
        Ok(found.iter().map(|s| (words(&s.name), value(s))).collect())
    }

    /// Texts of the pipeline's only executable.
    ///
    /// # Safety
    /// As for `statistics`.
    unsafe fn texts(&self, pipeline: vk::Pipeline) -> Result<Vec<(String, String)>, Failure> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        let function = self
            .statistics
            .fp()
            .get_pipeline_executable_internal_representations_khr;
        let mut count = 0;
        // SAFETY: the caller's promise. The first call asks for the number, the second for sizes, and the third fills
        // buffers of these sizes.
        unsafe {
            let device = self.device.handle();
            let ask =
                |count: &mut u32, to: *mut vk::PipelineExecutableInternalRepresentationKHR<'_>| {
                    function(device, &info, count, to.cast())
                        .result()
                        .map_err(|e| e.to_string())
                };
            ask(&mut count, std::ptr::null_mut())?;
            let mut found =
                vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            ask(&mut count, found.as_mut_ptr())?;
            let mut buffers: Vec<Vec<u8>> = found.iter().map(|f| vec![0; f.data_size]).collect();
            for (f, buffer) in found.iter_mut().zip(&mut buffers) {
                f.p_data = buffer.as_mut_ptr().cast();
            }
            ask(&mut count, found.as_mut_ptr())?;
            let text = |buffer: &[u8]| String::from_utf8_lossy(buffer).replace('\0', "");
            let texts = found.iter().zip(&buffers).filter(|(f, _)| f.is_text != 0);
            Ok(texts
                .map(|(f, buffer)| (words(&f.name), text(buffer)))
                .collect())
        }
    }
}

/// Whether the device has the matrices that the kernels use on cards.
///
/// # Safety
/// The instance and the device are open.
unsafe fn has_matrices(
    entry: &ash::Entry,
    instance: &ash::Instance,
    device: vk::PhysicalDevice,
) -> bool {
    let extension = ash::khr::cooperative_matrix::Instance::new(entry, instance);
    // SAFETY: the caller's promise.
    let found = unsafe { extension.get_physical_device_cooperative_matrix_properties(device) };
    let (f16, f32) = (vk::ComponentTypeKHR::FLOAT16, vk::ComponentTypeKHR::FLOAT32);
    found.unwrap_or_default().iter().any(|m| {
        [m.m_size, m.n_size, m.k_size] == [16; 3]
            && [m.a_type, m.b_type] == [f16; 2]
            && [m.c_type, m.result_type] == [f32; 2]
            && m.scope == vk::ScopeKHR::SUBGROUP
    })
}

/// SPIR-V of a kernel, with the options that wgpu uses for release builds of this crate.
pub fn spirv(source: &Source) -> Result<Vec<u32>, Failure> {
    use naga::back::spv;
    let (module, info) = validated(source)?;
    let unchecked = naga::proc::BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    let entry = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: source.entry.into(),
    };
    spv::write_vec(&module, &info, &options, Some(&entry)).map_err(|e| e.to_string())
}

/// A kernel as naga reads it.
pub fn validated(source: &Source) -> Result<(naga::Module, naga::valid::ModuleInfo), Failure> {
    use naga::valid::Capabilities;
    let mut capabilities = Capabilities::default();
    capabilities.set(Capabilities::FLOAT64, source.float64 == Some(true));
    capabilities.set(Capabilities::SHADER_FLOAT16, source.f16);
    let matrices = Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    capabilities.set(matrices, source.matrices.is_some());
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities;
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&source.text)
        .map_err(|e| e.emit_to_string(&source.text))?;
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(&source.text))?;
    Ok((module, info))
}

/// Bytes of a kernel's workgroup memory.
pub fn shared_bytes(source: &Source) -> Result<u64, Failure> {
    let (module, info) = validated(source)?;
    let entry = module
        .entry_points
        .iter()
        .position(|e| e.name == source.entry);
    let uses = info.get_entry_point(entry.ok_or("no such entry point")?);
    let mut layouter = naga::proc::Layouter::default();
    layouter
        .update(module.to_ctx())
        .map_err(|e| e.to_string())?;
    let variables = module.global_variables.iter();
    let shared = variables.filter(|(handle, v)| {
        v.space == naga::AddressSpace::WorkGroup && !uses[*handle].is_empty()
    });
    Ok(shared.map(|(_, v)| u64::from(layouter[v.ty].size)).sum())
}
