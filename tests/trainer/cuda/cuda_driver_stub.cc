// A CUDA driver that has no device and takes every kernel that it is given: cuDNN compiles its kernels, asks the driver to load them, and its plans are complete.
// What runs nothing needs no more. The names and numbers are those of cuda.h; cuDNN loads no driver that lacks one of these names.
namespace {

constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;

int something = 0;

}  // namespace

extern "C" {

int cuInit(unsigned int) { return kNoDevice; }
int cuDeviceGetCount(int* count) {
  *count = 0;
  return kNoDevice;
}
int cuGetErrorName(int, const char** text) {
  *text = "CUDA_ERROR_NO_DEVICE";
  return kSuccess;
}
int cuGetErrorString(int, const char** text) {
  *text = "no device";
  return kSuccess;
}

int cuLibraryLoadData(void** library, const void*, void*, void**, unsigned int, void*, void**,
                      unsigned int) {
  *library = &something;
  return kSuccess;
}
int cuLibraryUnload(void*) { return kSuccess; }
int cuLibraryGetKernel(void** kernel, void*, const char*) {
  *kernel = &something;
  return kSuccess;
}
int cuKernelSetAttribute(int, int, void*, int) { return kSuccess; }

// Not called where there is no device.
int cuCtxGetCurrent() { return kNoDevice; }
int cuCtxGetLimit() { return kNoDevice; }
int cuCtxPopCurrent() { return kNoDevice; }
int cuCtxPushCurrent() { return kNoDevice; }
int cuDeviceGet() { return kNoDevice; }
int cuDriverGetVersion() { return kNoDevice; }
int cuKernelGetAttribute() { return kNoDevice; }
int cuLaunchCooperativeKernel() { return kNoDevice; }
int cuLaunchKernel() { return kNoDevice; }
int cuLaunchKernelEx() { return kNoDevice; }
int cuLibraryLoadFromFile() { return kNoDevice; }
int cuLinkAddData() { return kNoDevice; }
int cuLinkComplete() { return kNoDevice; }
int cuLinkCreate() { return kNoDevice; }
int cuLinkDestroy() { return kNoDevice; }
int cuOccupancyMaxPotentialClusterSize() { return kNoDevice; }
int cuStreamGetCtx() { return kNoDevice; }

}  // extern "C"
