/* A stand-in for NVIDIA's libcuda, for hosts without a GPU: it starts, has the version of driver 580 and one device (cuda.h). */

int cuInit(unsigned int flags) { return flags == 0 ? 0 : 1; }

int cuDriverGetVersion(int *version) {
  *version = 13000;
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = 1;
  return 0;
}
